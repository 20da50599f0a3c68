import pytest

from pipelines.archive import particle_id
from pipelines.errors import SettingsError
from services.particle_file import read_class, read_particle_file


@pytest.fixture
def read(tmp_path):
    def read(text, **more):
        path = tmp_path / "p.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_particle_file(path, flag="FILE", **{"required": ("label",), **more})

    return read


ID = particle_id("m", 3)


@pytest.mark.parametrize(
    "line",
    ["mosaic,instance,label\nm,3,left", f"particle_id,label\n{ID},left",
     f"mosaic,instance,particle_id,label\n m , 3 ,{float(ID):.5E},left"],
)  # fmt: skip
def test_a_particle_is_told_by_mosaic_and_instance_or_by_its_id(read, line):
    (found,) = read(line)

    assert (found.particle_id, found.text("label"), found.text("reason")) == (ID, "left", "")


def test_a_byte_order_mark_and_quotes_are_understood(read):
    (found,) = read('\ufeffmosaic,instance,label\r\n"m","3","a b"\r\n'.encode())

    assert read_class(found) == "a b"


def test_lines_are_counted_as_in_the_file(read):
    lines = read('mosaic,instance,label\nm,1,"two\nlines"\nm,2,x\n')

    assert lines[1].where.endswith("line 4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mosaic,instance\nm,1\n", "line 1: column label is missing"),
        ("mosaic,label\nm,x\n", "line 1: column instance is missing"),
        ("mosaic,instance,label,size\nm,1,x,3\n", "line 1: there is no column 'size'"),
        ("mosaic,instance,label\nm,1\n", "line 2: it must have 3 values"),
        ("mosaic,instance,label\nm,1,x,y\n", "line 2: it must have 3 values"),
        ("mosaic,instance,label\n../m,1,x\n", "line 2: mosaic name must be"),
        ("mosaic,instance,label\nm,-1,x\n", "line 2: instance must be a positive"),
        ("mosaic,instance,label\nm,4294967296,x\n", "line 2: instance must be below"),
        ("mosaic,instance,label\nm,1,x\nm,1,y\n", "line 3: .* stands twice, above in line 2"),
        (f"mosaic,instance,particle_id,label\nm,4,{ID},x\n", "line 2: particle_id .* is not that"),
        ("mosaic,instance,particle_id,label\nm,3,one,x\n", "line 2: particle_id one is not"),
        ("mosaic,instance,label\n", "has no line below its head"),
        (b"mosaic,instance,label\nm,1,\xff\xfe\n", "cannot be read"),
        ('mosaic,instance,label\nm,1,"x\n', "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_with_its_line(read, text, message):
    with pytest.raises(SettingsError, match=message):
        read(text)
