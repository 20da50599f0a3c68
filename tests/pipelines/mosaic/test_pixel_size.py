import pytest

from pipelines.errors import MosaicError
from pipelines.mosaic.pixel_size import (
    PixelSize,
    from_fei,
    from_imagej,
    from_ome_xml,
    from_resolution,
    from_zeiss,
    in_nm,
)

OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" {}/></Image></OME>'
)


@pytest.mark.parametrize(
    ("value", "unit", "nm"),
    [
        (2, "nm", 2.0),
        ("0.5", "µm", 500.0),
        ("0.5", "μm", 500.0),  # the Greek letter
        (10, "Å", 1.0),
        (1, "meter", 1e9),
        (1, "in", 2.54e7),
        (3, " Nanometer ", 3.0),
        (3, "pixel", None),
        (3, None, None),
        (0, "nm", None),
        (-1, "nm", None),
        ("much", "nm", None),
        (float("nan"), "nm", None),
        ("1e400", "nm", None),
    ],
)
def test_lengths_are_converted_or_unknown(value, unit, nm):
    assert in_nm(value, unit) == (None if nm is None else pytest.approx(nm))


def test_ome_xml_states_size_and_unit():
    xml = OME.format(
        'PhysicalSizeX="4" PhysicalSizeXUnit="nm" PhysicalSizeY="4" PhysicalSizeYUnit="nm"'
    )

    assert from_ome_xml(xml) == PixelSize(4.0, 4.0, "OME-XML")


def test_ome_xml_without_a_unit_means_micrometres():
    assert from_ome_xml(OME.format('PhysicalSizeX="0.2" PhysicalSizeY="0.2"')).edge_nm() == 200


@pytest.mark.parametrize(
    "xml",
    [
        OME.format('PhysicalSizeX="1"'),
        OME.format('PhysicalSizeX="1" PhysicalSizeY="1" PhysicalSizeXUnit="pixel"'),
        "<OME",
        "<OME/>",
        "",
    ],
)
def test_ome_xml_that_states_no_size_gives_none(xml):
    assert from_ome_xml(xml) is None


@pytest.mark.parametrize(
    ("per_unit", "unit", "nm"),
    [
        (1e7, "cm", 1.0),
        (2.54e6, "in", 10.0),
        (1000, "cm", 10_000.0),  # 10 micrometres: the largest that is believed
        (300, "in", None),  # a printer's
        (72, "in", None),  # a screen's
        (28.35, "cm", None),
        (1e12, "cm", None),
        (0, "in", None),
        (None, "in", None),
    ],
)
def test_a_resolution_is_believed_only_where_it_can_be_a_microscopes(per_unit, unit, nm):
    found = from_resolution(per_unit, per_unit, unit, "tag")

    assert (found and found.edge_nm()) == (None if nm is None else pytest.approx(nm))


def test_imagej_states_its_unit_beside_the_resolution():
    assert from_imagej("ImageJ=1.54\nunit=nm\nloop=false", 0.5, 0.5).edge_nm() == 2.0
    assert from_imagej("ImageJ=1.54\nunit=\\u00B5m\n", 100, 100).edge_nm() == pytest.approx(10)
    assert from_imagej("ImageJ=1.54\nunit=inch\n", 72, 72) is None
    assert from_imagej("ImageJ=1.54\n", 1, 1) is None
    assert from_imagej("unit=nm", 1, 1) is None


def test_fei_tags_are_in_metres():
    metadata = {"Beam": {"HV": 5000}, "EScan": {"PixelWidth": 3.37e-9, "PixelHeight": 3.37e-9}}

    assert from_fei(metadata).edge_nm() == pytest.approx(3.37)
    assert from_fei({"Scan": {"PixelWidth": "", "PixelHeight": 1e-9}}) is None
    assert from_fei({"Scan": "nothing"}) is None


def test_zeiss_tags_carry_their_unit():
    assert from_zeiss({"ap_image_pixel_size": ("Image Pixel Size", 1.116, "nm")}).edge_nm() == 1.116
    assert from_zeiss({"ap_pixel_size": ("Pixel Size", 0.002, "µm")}).edge_nm() == 2.0
    assert from_zeiss({"ap_image_pixel_size": ("Image Pixel Size", 2.0)}) is None
    assert from_zeiss({}) is None


def test_pixels_that_are_not_square_are_refused():
    with pytest.raises(MosaicError, match="2 nm high and 3 nm wide by its OME-XML"):
        PixelSize(2.0, 3.0, "OME-XML").edge_nm()


def test_pixels_square_within_rounding_are_taken():
    assert PixelSize(2.0, 2.001, "tag").edge_nm() == 2.001
