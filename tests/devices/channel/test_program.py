"""Channel programs: chaining, lengths, checks, each against what the Principles of Operation say of the status."""
import pytest

from pvlab.devices.channel import formats as f
from pvlab.devices.channel.program import LONGEST, MOST, State
from devices.channel.world import DATA, PROGRAM, SIZE, Scripted, Storage, carry_out

E, IL, PGM, PROT = f.ENDED, f.INCORRECT_LENGTH, f.PROGRAM_CHECK, f.PROTECTION_CHECK
LENGTHS = [
    # flags, count, the device's block, format-1, L mode: residual count, subchannel status, whether it chains
    ("equal", 0, 4, 4, 0, 0, False),
    ("short block", 0, 8, 4, 4, IL, False),
    ("long block", 0, 4, 8, 0, IL, False),
    ("short block, SLI", f.SLI, 8, 4, 4, 0, False),
    ("long block, SLI", f.SLI, 4, 8, 0, 0, False),
    ("short block, SLI, chained", f.SLI | f.CC, 8, 4, 4, 0, True),
    ("short block, chained", f.CC, 8, 4, 4, IL, False),
    ("equal, chained", f.CC, 4, 4, 0, 0, True),
    ("empty block", 0, 4, 0, 4, IL, False),
]


@pytest.mark.parametrize("format1", [0, 0x80])
@pytest.mark.parametrize("name, flags, count, block, left, status, chains", LENGTHS, ids=[row[0] for row in LENGTHS])
def test_length(name, flags, count, block, left, status, chains, format1):
    device = Scripted(bytes(range(1, block + 1)))
    done, storage = carry_out(device, [(0x02, flags, count, DATA), (0x0F, f.SLI, 1, 0)], format1)
    assert done.state is State.DONE and done.status == status
    assert storage.read(DATA, 16) == device.block[:count].ljust(16, b"\0")
    assert done.ended_at == PROGRAM + (16 if chains else 8)
    assert done.count == (1 if chains else left)


@pytest.mark.parametrize("format1, mode, flags, status", [
    (0, 0, 0, 0), (0x80, 0, 0, IL), (0x80, 0, f.SLI, 0), (0x80, 0x80, 0, 0)])
def test_an_immediate_command_has_a_wrong_length_only_with_format_1(format1, mode, flags, status):
    done, _ = carry_out(Scripted(), [(0x0B, flags, 5, 0)], format1, mode)
    assert (done.status, done.count, done.device_status) == (status, 5, E)


def test_output_is_what_the_ccw_designates_or_what_the_device_wants():
    for wanted, count, status, left in ((None, 5, 0, 0), (5, 5, 0, 0), (3, 5, IL, 2), (8, 5, IL, 0)):
        device, storage = Scripted(wanted=wanted), Storage()
        storage.write(DATA, b"abcdefgh")
        done, _ = carry_out(device, [(0x01, 0, count, DATA)], storage=storage)
        assert device.written == [b"abcde"[:wanted]] and (done.status, done.count) == (status, left)


def test_data_chaining_scatters_and_gathers():
    chain = [(0x02, f.CD, 3, DATA), (0, f.CD | f.SKIP, 2, DATA + 0x100), (0xFF, 0, 3, DATA + 0x200)]
    done, storage = carry_out(Scripted(b"ABCDEFGH"), chain)
    assert (done.status, done.count, done.ended_at) == (0, 0, PROGRAM + 24)
    assert [storage.read(DATA + at, 3) for at in (0, 0x100, 0x200)] == [b"ABC", bytes(3), b"FGH"]
    device = Scripted()
    carry_out(device, [(0x01, f.CD, 3, DATA), (0x00, 0, 3, DATA + 0x200)], storage=storage)
    assert device.written == [b"ABCFGH"]


@pytest.mark.parametrize("length, status, left, ended", [
    (5, IL, 1, 16),         # ends within the second CCW
    (2, IL, 1, 8),          # ends within the first, which chains: never suppressed
    (3, IL, 3, 16),         # ends just there: the next CCW is in use already
    (9, IL, 0, 16)])        # has more than both have room for
def test_length_in_a_data_chain(length, status, left, ended):
    done, _ = carry_out(Scripted(bytes(length)), [(0x02, f.CD | f.SLI, 3, DATA), (0, 0, 3, DATA)])
    assert (done.status, done.count, done.ended_at) == (status, left, PROGRAM + ended)


def test_a_tic_continues_elsewhere_also_in_a_data_chain():
    storage = Storage()
    storage.write(PROGRAM + 0x100, bytes.fromhex("00004200 00000002") + bytes.fromhex("0b000000 20000001"))
    done, _ = carry_out(Scripted(b"ABCDE"), [(0x02, f.CD, 3, DATA), (0x08, 0, 0, PROGRAM + 0x100)], storage=storage)
    assert storage.read(DATA, 3) == b"ABC" and storage.read(0x4200, 2) == b"DE" and done.status == 0


def test_skip_only_drops_what_is_read():
    storage = Storage()
    storage.write(DATA, b"xyz")
    device = Scripted(b"ABC")
    done, _ = carry_out(device, [(0x02, f.SKIP | f.CC, 3, DATA), (0x01, f.SKIP, 3, DATA)], storage=storage)
    assert storage.read(DATA, 3) == b"xyz" and device.written == [b"xyz"] and done.status == 0


@pytest.mark.parametrize("status, goes_on", [
    (E, True), (E | f.UNIT_EXCEPTION, False), (E | f.UNIT_CHECK, False), (f.UNIT_CHECK, False), (f.CHANNEL_END, False)])
def test_unusual_status_ends_the_chain(status, goes_on):
    device = Scripted(status=status)
    done, _ = carry_out(device, [(0x0F, f.CC | f.SLI, 1, 0), (0x01, 0, 1, DATA)])
    assert len(device.written) == goes_on and done.device_status == (E if goes_on else status)


def test_status_modifier_skips_one_ccw():
    device, storage = Scripted(b"k"), Storage()
    storage.write(DATA, b"ak12")
    search = [(0x31, f.CC, 1, DATA), (0x08, 0, 0, PROGRAM + 0x18), (0x01, 0, 1, DATA + 2), (0x01, 0, 1, DATA + 3)]
    carry_out(device, search, storage=storage)
    assert device.written == [b"2"], "unequal: the TIC is taken"
    search[0] = (0x31, f.CC, 1, DATA + 1)
    carry_out(device, search, storage=storage)
    assert device.written == [b"2", b"1"], "equal: the TIC is stepped over"


TIC_TO_TIC = [(0x0B, f.CC, 1, 0), (0x08, 0, 0, PROGRAM + 16), (0x08, 0, 0, PROGRAM)]
CHECKS = [
    ("the first is a TIC", 0, [(0x08, 0, 0, PROGRAM + 8), (0x0B, 0, 1, 0)], 8),
    ("TIC to TIC", 0, TIC_TO_TIC, 24),
    ("TIC to an odd place", 0, [(0x0B, f.CC, 1, 0), (0x08, 0, 0, PROGRAM + 4)], PROGRAM + 12 - PROGRAM),
    ("TIC out of storage", 0, [(0x0B, f.CC, 1, 0), (0x08, 0, 0, SIZE)], SIZE + 8 - PROGRAM),
    ("format-1 TIC with flags", 0x80, [(0x0B, f.CC | f.SLI, 1, 0), (0x08, f.SLI, 0, PROGRAM)], 16),
    ("format-1 TIC with a count", 0x80, [(0x0B, f.CC | f.SLI, 1, 0), (0x08, 0, 1, PROGRAM)], 16),
    ("format-1 TIC, command 18", 0x80, [(0x0B, f.CC | f.SLI, 1, 0), (0x18, 0, 0, PROGRAM)], 16),
    ("command 00", 0, [(0x00, 0, 1, DATA)], 8),
    ("command X0", 0, [(0xF0, 0, 1, DATA)], 8),
    ("count 0, format 0", 0, [(0x02, 0, 0, DATA)], 8),
    ("count 0, format 1, chaining data", 0x80, [(0x02, f.CD, 0, DATA)], 8),
    ("count 0 in a data chain", 0x80, [(0x02, f.CD, 2, DATA), (0x02, 0, 0, DATA)], 16),
    ("reserved flag", 0, [(0x02, 0x01, 4, DATA)], 8),
    ("suspend where the ORB forbids it", 0, [(0x02, f.SUSPEND, 4, DATA)], 8),
    ("data address, format 1", 0x80, [(0x02, 0, 4, 0x80000000 | DATA)], 8),
    ("data out of storage", 0, [(0x02, 0, 4, SIZE - 2)], 8),
    ("data across 16 MiB, format 0", 0, [(0x02, 0, 4, 0xFFFFFE)], 8),
    ("output from out of storage", 0, [(0x01, 0, 4, SIZE)], 8),
    ("IDAW out of storage", 0, [(0x02, f.IDA, 4, SIZE)], 8),
    ("IDAW list at an odd place", 0, [(0x02, f.IDA, 4, DATA + 2)], 8),
]


@pytest.mark.parametrize("name, control, chain, ended", CHECKS, ids=[row[0] for row in CHECKS])
def test_program_check(name, control, chain, ended):
    done, _ = carry_out(Scripted(b"ABCD"), chain, control)
    assert (done.state, done.status, done.ended_at) == (State.DONE, PGM, PROGRAM + ended)


@pytest.mark.parametrize("program", [PROGRAM + 4, SIZE, 1 << 24, 0x7FFFFFF8])
def test_program_check_for_the_programs_own_address(program):
    done, _ = carry_out(Scripted(), [(0x0B, 0, 1, 0)], program=program)
    assert (done.status, done.ended_at) == (PGM, program + 8)


def test_count_zero_is_fine_for_a_format_1_command_that_moves_nothing():
    done, _ = carry_out(Scripted(), [(0x0B, 0, 0, 0)], 0x80)
    assert (done.status, done.device_status) == (0, E)


@pytest.mark.parametrize("wide, block", [(0, 2048), (0x0002, 4096), (0x0003, 2048)])
def test_indirect_data_addresses(wide, block):
    """The first IDAW may point anywhere in a block; the others begin one."""
    width = 8 if wide else 4
    data = bytes(range(256)) * (2 * block // 256)
    storage = Storage()
    places = [0x10000 + block - 100, 0x20000, 0x30000]
    storage.write(DATA, b"".join(place.to_bytes(width, "big") for place in places))
    done, _ = carry_out(Scripted(data), [(0x02, f.IDA, 2 * block, DATA)], wide, storage=storage)
    assert (done.status, done.count) == (0, 0)
    assert storage.read(places[0], 100) == data[:100]
    assert storage.read(places[1], block) == data[100:100 + block]
    assert storage.read(places[2], block) == (data[100 + block:]).ljust(block, b"\0")
    device = Scripted()
    carry_out(device, [(0x01, f.IDA, 2 * block, DATA)], wide, storage=storage)
    assert device.written == [data]
    storage.write(DATA + width, (0x20010).to_bytes(width, "big"))
    done, _ = carry_out(Scripted(data), [(0x02, f.IDA, 2 * block, DATA)], wide, storage=storage)
    assert done.status == PGM


@pytest.mark.parametrize("key, where, code, status", [
    (0x30, DATA, 0x02, PROT), (0x30, DATA, 0x01, 0), (0x38, DATA, 0x01, PROT), (0x20, DATA, 0x02, 0),
    (0x38, PROGRAM, 0x02, PROT), (0x30, PROGRAM, 0x02, 0)])
def test_key_controlled_protection(key, where, code, status):
    """With access key 2: a store needs the key, a fetch only where fetch protection is on. Key 0 needs none."""
    storage = Storage()
    storage.keys[:] = bytes([0x20]) * len(storage.keys)
    storage.keys[where >> 12] = key
    done, _ = carry_out(Scripted(b"ABCD"), [(code, 0, 4, DATA)], 0x2000, storage=storage)
    assert done.status == status
    done, _ = carry_out(Scripted(b"ABCD"), [(code, 0, 4, DATA)], 0, storage=storage)
    assert done.status == 0


def test_a_chain_that_closes_on_itself_is_bounded():
    done, _ = carry_out(Scripted(), [(0x0B, f.CC, 1, 0), (0x08, 0, 0, PROGRAM)])
    assert done.state is State.ENDLESS and done.steps == LONGEST + 1


def test_sense_and_sense_id():
    device = Scripted()
    done, _ = carry_out(device, [(0xC3, 0, 1, DATA)])
    assert done.device_status == f.UNIT_CHECK and done.status == 0
    done, storage = carry_out(device, [(f.SENSE, f.SLI | f.CC, 8, DATA), (f.SENSE_ID, f.SLI, 16, DATA + 8)])
    assert storage.read(DATA, 1) == b"\x80" and storage.read(DATA + 8, 8) == bytes.fromhex("ff1234056789 0000")
    assert (done.status, done.count) == (0, 9)
    done, storage = carry_out(device, [(f.SENSE, 0, 1, DATA)])
    assert storage.read(DATA, 1) == b"\0", "sense is given once"


def test_a_chain_that_moves_without_end_is_bounded():
    device = Scripted()
    done, _ = carry_out(device, [(0x01, f.CC, 0xFFFF, 0), (0x08, 0, 0, PROGRAM)])
    assert done.state is State.ENDLESS and MOST < done.moved < MOST + 0x10000
