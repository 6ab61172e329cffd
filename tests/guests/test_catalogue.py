"""The catalogue: names, parameters, and guests of one's own."""
import json

import pytest

from pvlab.guests import GuestError, guest, known_guests
from pvlab.guests.catalogue import CATALOGUE, INSTRUCTIONS, WORKLOADS


def test_every_guest_describes_itself():
    for entry in known_guests():
        assert entry.description and json.loads(json.dumps(entry.to_dict()))["name"] == entry.name
        for parameter in entry.parameters.values():
            assert parameter.description


def test_defaults_are_filled_in():
    assert guest("hello").parameters == {} and guest("hello").cmdline == ""
    assert guest("kernel").parameters == {"workload": "syscall", "n": 1000}
    assert guest("kernel", workload="idle").cmdline == "workload=idle n=20"
    assert guest("sensitive").parameters == {"only": "all"}


def test_values_may_be_text_as_from_a_command_line():
    assert guest("kernel", n="12").parameters == guest("kernel", n=12).parameters == {"workload": "syscall", "n": 12}
    assert guest("kernel", n="0x10").cmdline == "workload=syscall n=16"


@pytest.mark.parametrize("name", WORKLOADS)
def test_limits_of_each_workload(name):
    _, default, most = WORKLOADS[name]
    assert guest("kernel", workload=name).parameters["n"] == default <= most
    guest("kernel", workload=name, n=most)
    with pytest.raises(GuestError, match=f"n={most + 1}: must be a whole number from 1 to {most} for workload={name}"):
        guest("kernel", workload=name, n=most + 1)


def test_what_a_workload_needs_of_its_device():
    assert guest("kernel", workload="disk-read", n=2).parameters == {
        "workload": "disk-read", "n": 2, "device": "ata", "batch": 1, "depth": 1}
    assert guest("kernel", workload="net-send", device="virtio").cmdline == \
        "workload=net-send n=500 device=virtio batch=1 size=60 suppression=event-idx indirect=no"
    assert guest("kernel", workload="console").parameters["device"] == "debug"


@pytest.mark.parametrize("given, message", [
    ({"device": "virtio"}, "device=virtio: there is no such parameter for workload=syscall"),
    ({"workload": "net-send", "device": "ata"}, "device=ata: must be one of e1000, virtio for workload=net-send"),
    ({"workload": "net-send", "suppression": "flags"}, "suppression=flags: there is no such parameter for device=e1000"),
    ({"suppression": "flags"}, "suppression=flags: there is no such parameter where no device is used"),
    ({"workload": "disk-read", "size": 100}, "size=100: there is no such parameter for workload=disk-read"),
    ({"workload": "net-send", "size": 59}, "size=59: must be a whole number from 60 to 1514 for workload=net-send"),
])
def test_parameters_of_another_workload_or_device(given, message):
    with pytest.raises(GuestError) as error:
        guest("kernel", **given)
    assert str(error.value) == message


@pytest.mark.parametrize("value", ["", "many", "1.5", 1.5, True, 0, -1, "-0x5", None, "9" * 5000])
def test_numbers_that_are_none(value):
    if value is None:       # as if it were not given
        assert guest("kernel", n=value).parameters["n"] == 1000
    else:
        with pytest.raises(GuestError, match="must be a whole number from 1 to 100000"):
            guest("kernel", n=value)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(GuestError, match="no guest 'kernal': there are hello, sensitive, kernel"):
        guest("kernal")
    with pytest.raises(GuestError, match="the guest 'kernel' has no parameter 'm': it has workload, n"):
        guest("kernel", m=1)
    with pytest.raises(GuestError, match="the guest 'hello' has no parameter 'n': it has none"):
        guest("hello", n=1)
    with pytest.raises(GuestError, match="workload=sleep: must be one of compute, syscall, "):
        guest("kernel", workload="sleep")
    with pytest.raises(GuestError, match="only=cpuid: must be one of all, sgdt, "):
        guest("sensitive", only="cpuid")


@pytest.mark.parametrize("name, entries, file", [("kernel", WORKLOADS, "kernel/workloads.c"),
                                                 ("sensitive", list(INSTRUCTIONS)[1:], "sensitive/sensitive.c")])
def test_the_catalogue_and_the_source_name_the_same_things(name, entries, file):
    import re

    from pvlab.guests.toolchain import HERE
    assert re.findall(r'^    \{ "([a-z-]+)", ', (HERE / file).read_text(), re.MULTILINE) == list(entries)
    assert file in CATALOGUE[name].sources


# --- guests of one's own ---

C = "#include <pvlab.h>\nPV_RESULT uint32_t answer;\nint main(void) { answer = pv_param(\"n\", 5); return 0; }\n"


def test_a_c_file_an_assembly_file_and_an_elf_file(tmp_path, monkeypatch):
    (tmp_path / "mine.c").write_text(C)
    (tmp_path / "mine.S").write_text("        .globl main\nmain:   xor %eax, %eax\n        ret\n")
    own = guest(tmp_path / "mine.c", n=7, mode="fast-1.0")
    assert own.name == "mine.c" and own.cmdline == "n=7 mode=fast-1.0" and own.image.result[1] == 4
    assert "main" in guest(str(tmp_path / "mine.S")).image.symbols

    from pvlab.guests.toolchain import HERE, build_guest
    entry = CATALOGUE["hello"]
    (tmp_path / "built").write_bytes(
        build_guest([HERE / source for source in entry.sources], HERE / entry.script).read_bytes())
    assert guest(tmp_path / "built").image == guest("hello").image

    monkeypatch.chdir(tmp_path)
    assert guest("mine.c").image == guest(tmp_path / "mine.c").image
    assert guest("built").description == "loaded from built"


def test_assembly_with_its_own_start_needs_no_main(tmp_path):
    (tmp_path / "bare.S").write_text("        .globl _start\n_start: hlt\n")
    image = guest(tmp_path / "bare.S").image
    assert image.entry == image.symbols["_start"] and "stack_top" not in image.symbols


@pytest.mark.parametrize("name", ["missing.c", "missing.elf", "./missing"])
def test_a_file_that_is_not_there(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GuestError, match="missing.*: no such file"):
        guest(name)


def test_files_that_are_no_guests(tmp_path):
    (tmp_path / "text.elf").write_text("hello\n")
    (tmp_path / "folder.c").mkdir()
    (tmp_path / "nomain.c").write_text("int nothing;\n")
    for name, message in (("text.elf", "not an ELF file"), ("folder.c", "not a file"),
                          ("nomain.c", "undefined symbol: main")):
        with pytest.raises(GuestError, match=message):
            guest(tmp_path / name)


def test_a_huge_file_is_not_read(tmp_path):
    with open(tmp_path / "huge.elf", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(GuestError, match="1099511627776 bytes are too many"):
        guest(tmp_path / "huge.elf")


@pytest.mark.parametrize("parameters, message", [
    ({"a b": 1}, "cannot be a parameter's name"), ({"": 1}, "cannot be a parameter's name"),
    ({"a": "x y"}, "without spaces"), ({"a": "ü"}, "printable ASCII"), ({"a": "x" * 2000}, "at most 1000"),
])
def test_parameters_that_no_command_line_can_hold(tmp_path, parameters, message):
    (tmp_path / "mine.c").write_text(C)
    with pytest.raises(GuestError, match=message):
        guest(tmp_path / "mine.c", **parameters)
