"""What the processor can do and how much of it is ours, as systems of several kinds tell it."""

import os

import pytest

from facewise import hardware
from facewise.hardware import Cpu, cpu, from_cpuinfo, quota

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8488C
flags\t\t: fpu sse2 avx avx2 fma f16c avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
PI = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes crc32 asimddp cpuid
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""


def test_linux_on_x86_tells_name_and_extensions_of_the_first_processor():
    name, features = from_cpuinfo(XEON)
    assert name == "Intel(R) Xeon(R) Platinum 8488C"
    assert features == {
        "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    }  # fmt: skip


def test_linux_on_arm_tells_them_by_arms_names():
    assert from_cpuinfo(PI) == ("Raspberry Pi 5 Model B Rev 1.0", {"neon", "dotprod"})


@pytest.mark.parametrize(
    ("features", "bf16", "int8", "kind"),
    [
        ((), False, False, "no AVX"),
        (("avx",), False, False, "AVX"),
        (("avx2", "fma"), False, False, "AVX2"),
        (("avx512f",), False, False, "AVX-512"),
        (("avx2", "avx_vnni"), False, True, "AVX2 VNNI"),
        (("avx512f", "avx512_vnni"), False, True, "AVX-512 VNNI"),
        (("avx512f", "avx512_vnni", "avx512_bf16"), True, True, "AVX-512 VNNI bf16"),
        (("avx512f", "amx_bf16"), True, False, "AVX-512 bf16"),
        (("neon",), False, False, "Arm"),
        (("neon", "dotprod"), False, True, "Arm int8"),
        (("neon", "dotprod", "bf16", "i8mm"), True, True, "Arm int8 bf16"),
    ],
)
def test_bf16_and_int8_are_in_hardware_or_not(features, bf16, int8, kind):
    here = Cpu("some", frozenset(features), 2)
    assert (here.has_bf16, here.has_int8, here.kind) == (bf16, int8, kind)


@pytest.mark.parametrize(
    ("cores", "limit", "threads"), [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.25, 1), (2, 16.0, 2)]
)
def test_a_quota_counts_and_not_the_cpus_of_the_host(cores, limit, threads):
    assert Cpu("some", frozenset(), cores, limit).threads == threads


@pytest.mark.parametrize(
    ("limit", "given", "told"), [(1.5, None, "2"), (1.5, "1", "1"), (None, None, None), (9.0, None, None)]
)
def test_libraries_are_told_of_a_quota_they_do_not_see(monkeypatch, limit, given, told):
    monkeypatch.setattr(hardware, "cpu", lambda: Cpu("x", frozenset(), 4, limit))
    for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        monkeypatch.setenv(name, given or "")
        if given is None:
            monkeypatch.delenv(name)
    hardware.keep_libraries_to_quota()
    for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        assert os.environ.get(name) == told
        monkeypatch.delenv(name, raising=False)


def test_features_can_be_hidden(monkeypatch):
    monkeypatch.setenv(hardware.HIDDEN, "avx, avx2 fma nonsense")
    cpu.cache_clear()
    try:
        assert cpu().features == {"avx", "avx2", "fma"}
        assert not cpu().has_bf16
    finally:
        monkeypatch.undo()
        cpu.cache_clear()


def test_this_machine_is_told():
    here = cpu()
    assert here.name
    assert 1 <= here.threads <= here.cores
    assert here.name in str(here)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_container_of_control_groups_2(tmp_path):
    write(tmp_path / "cpu.max", "150000 100000\n")
    assert quota("0::/\n", tmp_path) == 1.5


def test_the_least_of_a_group_and_those_above_it(tmp_path):
    write(tmp_path / "a" / "cpu.max", "200000 100000\n")
    write(tmp_path / "a" / "b" / "cpu.max", "max 100000\n")
    assert quota("0::/a/b\n", tmp_path) == 2.0


def test_a_path_of_the_host_within_a_container(tmp_path):
    write(tmp_path / "cpu.max", "50000 100000\n")
    assert quota("0::/docker/0123\n", tmp_path) == 0.5


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_control_groups_1(tmp_path, mount):
    write(tmp_path / mount / "box" / "cpu.cfs_quota_us", "300000\n")
    write(tmp_path / mount / "box" / "cpu.cfs_period_us", "100000\n")
    groups = "4:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/\n0::/\n"
    assert quota(groups, tmp_path) == 3.0


@pytest.mark.parametrize("limit", ["-1", "nonsense", "0"])
def test_no_limit_in_control_groups_1(tmp_path, limit):
    write(tmp_path / "cpu" / "cpu.cfs_quota_us", limit)
    write(tmp_path / "cpu" / "cpu.cfs_period_us", "100000")
    assert quota("1:cpu:/\n", tmp_path) is None


@pytest.mark.parametrize("groups", ["", "nonsense\n", "0::/a\n", "5:memory:/a\n"])
def test_no_groups_no_limit(tmp_path, groups):
    assert quota(groups, tmp_path) is None
