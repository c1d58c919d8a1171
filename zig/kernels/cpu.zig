//! Which kernel tier this machine can run, asked of the CPU and the operating system at run time.
//! A library built for the oldest CPU must not ask the compiler.

const std = @import("std");
const builtin = @import("builtin");

/// The compilations of the kernels, oldest first within an architecture. The names are fixed: the
/// build passes them to the objects, and each object's accessor is called `vl_kernels_<name>`.
pub const Tier = enum {
    /// SSE4.2, the least that the library runs on.
    x86_64_v2,
    /// AVX2 and FMA.
    x86_64_v3,
    /// AVX-512 F, BW, CD, DQ and VL.
    x86_64_v4,
    /// AVX-512 VNNI, VPOPCNTDQ, BITALG and VBMI as well: Ice Lake, Zen 4 and later.
    x86_64_v4_vnni,
    /// Every 64-bit ARM.
    neon,
    /// The dot product of bytes as well: Cortex-A75 and A55, Neoverse N1, every Apple M, and later.
    neon_dot,

    /// The short name, as a person writes it into a setting.
    pub fn text(tier: Tier) [:0]const u8 {
        return switch (tier) {
            .x86_64_v2 => "v2",
            .x86_64_v3 => "v3",
            .x86_64_v4 => "v4",
            .x86_64_v4_vnni => "v4-vnni",
            .neon => "neon",
            .neon_dot => "neon-dot",
        };
    }

    /// The tier of a short name, whether or not this machine can run it; null where no tier has it.
    pub fn parse(name: []const u8) ?Tier {
        return for (std.enums.values(Tier)) |tier| {
            if (std.mem.eql(u8, tier.text(), name)) break tier;
        } else null;
    }
};

/// The tiers compiled into a library for this architecture, oldest first.
pub const compiled: []const Tier = switch (builtin.cpu.arch) {
    .x86_64 => &.{ .x86_64_v2, .x86_64_v3, .x86_64_v4, .x86_64_v4_vnni },
    .aarch64 => &.{ .neon, .neon_dot },
    else => @compileError("no kernels for this architecture"),
};

/// The newest tier that this machine can run.
pub fn detect() Tier {
    return if (builtin.cpu.arch == .x86_64) detectX86() else detectArm();
}

/// Of `AT_HWCAP`, from Linux' asm/hwcap.h.
const hwcap_asimddp = 1 << 20;

/// Only the system knows: the CPU does not answer a program.
fn detectArm() Tier {
    const has_dot = switch (builtin.os.tag) {
        .linux => std.os.linux.getauxval(std.elf.AT_HWCAP) & hwcap_asimddp != 0,
        // The oldest that macOS runs on, the M1, has it.
        .macos => true,
        .windows => std.os.windows.IsProcessorFeaturePresent(.ARM_V82_DP_INSTRUCTIONS_AVAILABLE),
        else => false,
    };
    return if (has_dot) .neon_dot else .neon;
}

/// Bits of XCR0: the register files that the operating system saves on a task switch.
const xcr0_avx = 0b110;
const xcr0_avx512 = 0b1110_0110;

fn detectX86() Tier {
    if (cpuid(0, 0).eax < 7) return .x86_64_v2;
    const basic = cpuid(1, 0).ecx;
    const osxsave = bit(basic, 27);
    const fma = bit(basic, 12);
    const movbe = bit(basic, 22);
    const avx = bit(basic, 28);
    const f16c = bit(basic, 29);
    if (!(osxsave and fma and movbe and avx and f16c)) return .x86_64_v2;
    const saved = xgetbv();
    if (saved & xcr0_avx != xcr0_avx) return .x86_64_v2;

    const features = cpuid(7, 0);
    const extended = features.ebx;
    const bmi1 = bit(extended, 3);
    const avx2 = bit(extended, 5);
    const bmi2 = bit(extended, 8);
    const lzcnt = cpuid(0x8000_0000, 0).eax >= 0x8000_0001 and bit(cpuid(0x8000_0001, 0).ecx, 5);
    if (!(bmi1 and avx2 and bmi2 and lzcnt)) return .x86_64_v2;

    const avx512 = bit(extended, 16) and // F
        bit(extended, 17) and // DQ
        bit(extended, 28) and // CD
        bit(extended, 30) and // BW
        bit(extended, 31); // VL
    if (!avx512 or saved & xcr0_avx512 != xcr0_avx512) return .x86_64_v3;

    // Their registers are those of AVX-512 F, so XCR0 has been asked.
    const more = bit(features.ecx, 1) and // VBMI
        bit(features.ecx, 11) and // VNNI
        bit(features.ecx, 12) and // BITALG
        bit(features.ecx, 14); // VPOPCNTDQ
    return if (more) .x86_64_v4_vnni else .x86_64_v4;
}

fn bit(register: u32, comptime index: u5) bool {
    return register >> index & 1 != 0;
}

const CpuidResult = struct { eax: u32, ebx: u32, ecx: u32, edx: u32 };

fn cpuid(leaf: u32, subleaf: u32) CpuidResult {
    var eax: u32 = undefined;
    var ebx: u32 = undefined;
    var ecx: u32 = undefined;
    var edx: u32 = undefined;
    asm volatile ("cpuid"
        : [_] "={eax}" (eax),
          [_] "={ebx}" (ebx),
          [_] "={ecx}" (ecx),
          [_] "={edx}" (edx),
        : [_] "{eax}" (leaf),
          [_] "{ecx}" (subleaf),
    );
    return .{ .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx };
}

/// The low half of XCR0. Only where cpuid reports OSXSAVE.
fn xgetbv() u32 {
    return asm volatile (
        \\ xor %%ecx, %%ecx
        \\ xgetbv
        : [_] "={eax}" (-> u32),
        :
        : .{ .edx = true, .ecx = true });
}

test "the detected tier is one that is compiled" {
    const tier = detect();
    for (compiled) |each| {
        if (each == tier) return;
    }
    return error.TestUnexpectedResult;
}

test "the detected tier is what the standard library makes of this CPU" {
    if (builtin.cpu.arch != .x86_64) return error.SkipZigTest;
    const host = try std.zig.system.resolveTargetQuery(std.testing.io, .{ .cpu_model = .native });
    const features = host.cpu.features;
    const all = std.Target.x86.featureSetHasAll;
    const v3 = all(features, .{ .avx, .avx2, .bmi, .bmi2, .f16c, .fma, .lzcnt, .movbe });
    const v4 = all(features, .{ .avx512f, .avx512bw, .avx512cd, .avx512dq, .avx512vl });
    const more = all(features, .{ .avx512vnni, .avx512vpopcntdq, .avx512bitalg, .avx512vbmi });
    const with_avx512: Tier = if (more) .x86_64_v4_vnni else .x86_64_v4;
    const expected: Tier = if (!v3) .x86_64_v2 else if (!v4) .x86_64_v3 else with_avx512;
    try std.testing.expectEqual(expected, detect());
}

test "every tier is found by its short name, and nothing else is" {
    for (std.enums.values(Tier)) |tier| {
        try std.testing.expectEqual(tier, Tier.parse(tier.text()));
    }
    for ([_][]const u8{ "", "v", "V3", "v1", "v4-", "v4 ", "x86_64_v4", "native" }) |name| {
        try std.testing.expectEqual(null, Tier.parse(name));
    }
}
