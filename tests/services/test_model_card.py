import pytest

from services.model_card import instrument, voltage


@pytest.mark.parametrize(
    ("acquisition", "name", "volts"),
    [
        ({}, "unknown", None),
        ({"instrument": "simulated"}, "simulated", None),
        ({"fei": {"System.SystemType": "Quanta FEG", "Beam.HV": 5000}}, "FEI Quanta FEG", 5000),
        ({"fei": {"Beam.HV": 5000}}, "FEI", 5000),
        ({"zeiss": {"sv_serial_number": "Serial No. SUPRA 40-1"}}, "Zeiss Serial No. SUPRA 40-1",
         None),
    ],
)  # fmt: skip
def test_the_instrument_is_named_as_far_as_its_file_does(acquisition, name, volts):
    assert instrument(acquisition) == name
    assert voltage(acquisition) == volts
