//! Builds the engine: one shared library per platform, its tests and its benches.
//!
//! Two things here are deliberate and easy to undo by accident. Nothing is ever compiled for the
//! machine that happens to build it: the default CPU is the oldest one that the library supports,
//! and everything newer is a kernel tier that the library chooses when it is loaded. And the
//! kernels are objects of their own, because the optimize mode of a library is the one of its root
//! module: only a separate object can be ReleaseFast inside a ReleaseSafe engine.
//!
//! `zig build --help` lists the steps.

const std = @import("std");
const Build = std.Build;
const Compile = Build.Step.Compile;

/// No published library may be larger than this.
const library_bytes_max = 1_000_000;

/// The published platforms, named as npm names them (`process.platform`-`process.arch`).
/// The Linux library uses no libc, so that one file serves glibc and musl; each still has its
/// folder, because each is a package of its own.
const platforms = [_]Platform{
    .{ .names = &.{ "linux-x64", "linux-x64-musl" }, .arch = .x86_64, .os = .linux },
    .{ .names = &.{ "linux-arm64", "linux-arm64-musl" }, .arch = .aarch64, .os = .linux },
    .{ .names = &.{"darwin-x64"}, .arch = .x86_64, .os = .macos },
    .{ .names = &.{"darwin-arm64"}, .arch = .aarch64, .os = .macos },
    .{ .names = &.{"win32-x64"}, .arch = .x86_64, .os = .windows },
    .{ .names = &.{"win32-arm64"}, .arch = .aarch64, .os = .windows },
};

const Platform = struct {
    names: []const []const u8,
    arch: std.Target.Cpu.Arch,
    os: std.Target.Os.Tag,
};

/// One compilation of zig/kernels/tier_object.zig. The names are those of `Tier` in cpu.zig.
const KernelTier = struct {
    name: [:0]const u8,
    arch: std.Target.Cpu.Arch,
    cpu: *const std.Target.Cpu.Model,
    /// What the tier has besides the model's.
    features: std.Target.Cpu.Feature.Set = .empty,
    /// The tier whose floats it has.
    base: ?[:0]const u8 = null,
};

const kernel_tiers = [_]KernelTier{
    .{ .name = "x86_64_v2", .arch = .x86_64, .cpu = &std.Target.x86.cpu.x86_64_v2 },
    .{ .name = "x86_64_v3", .arch = .x86_64, .cpu = &std.Target.x86.cpu.x86_64_v3 },
    .{ .name = "x86_64_v4", .arch = .x86_64, .cpu = &std.Target.x86.cpu.x86_64_v4 },
    .{
        .name = "x86_64_v4_vnni",
        .arch = .x86_64,
        .cpu = &std.Target.x86.cpu.x86_64_v4,
        .features = std.Target.x86.featureSet(&.{
            .avx512bitalg,
            .avx512vbmi,
            .avx512vnni,
            .avx512vpopcntdq,
        }),
        .base = "x86_64_v4",
    },
    .{ .name = "neon", .arch = .aarch64, .cpu = &std.Target.aarch64.cpu.generic },
    .{
        .name = "neon_dot",
        .arch = .aarch64,
        .cpu = &std.Target.aarch64.cpu.generic,
        .features = std.Target.aarch64.featureSet(&.{.dotprod}),
        .base = "neon",
    },
};

const Context = struct {
    b: *Build,
    target: Build.ResolvedTarget,
    /// The kernel objects for `target`.
    kernels: []const *Compile,
    /// Of the library; ReleaseSafe unless -Doptimize says otherwise.
    optimize: std.builtin.OptimizeMode,
    /// Of the tests; Debug unless -Doptimize says otherwise.
    optimize_test: std.builtin.OptimizeMode,
    test_filters: []const []const u8,
    /// Names of test programs; empty is all of them.
    test_suites: []const []const u8,
    /// A command, words with spaces between them, that runs the test programs.
    test_under: ?[]const u8,
};

pub fn build(b: *Build) void {
    const optimize = b.option(
        std.builtin.OptimizeMode,
        "optimize",
        "Of the engine (default: ReleaseSafe; tests: Debug). Kernels are always ReleaseFast.",
    );
    const target = resolveTarget(b, b.standardTargetOptionsQueryOnly(.{}));
    const context: Context = .{
        .b = b,
        .target = target,
        .kernels = addKernels(b, target),
        .optimize = optimize orelse .ReleaseSafe,
        .optimize_test = optimize orelse .Debug,
        .test_filters = b.option(
            []const []const u8,
            "test-filter",
            "Run only the tests whose name contains this (repeatable)",
        ) orelse &.{},
        .test_suites = b.option(
            []const []const u8,
            "test-suite",
            "Run only this test program: core, c_api, or a file of test/zig (repeatable)",
        ) orelse &.{},
        .test_under = b.option(
            []const u8,
            "test-under",
            "Run the tests with this command, as in \"qemu-x86_64 -cpu Nehalem\"",
        ),
    };

    const library = addLibrary(b, createCore(b, target, context.kernels, context.optimize));
    b.getInstallStep().dependOn(&installLibrary(b, library, .lib).step);

    addPlatformSteps(context);
    addTestStep(context);
    addTestLibraryStep(context);
    addAflStep(context);
    addAbiSteps(context);
    addBenchSteps(context);

    const format = b.addFmt(.{ .paths = zigPaths(b) });
    b.step("fmt", "Format every Zig file").dependOn(&format.step);
}

/// Everything that `zig fmt` looks after.
fn zigPaths(b: *Build) []const []const u8 {
    var paths: std.ArrayList([]const u8) = .empty;
    for ([_][]const u8{ "build.zig", "zig", "test/zig", "bench" }) |path| {
        b.build_root.handle.access(b.graph.io, path, .{}) catch continue;
        paths.append(b.allocator, path) catch @panic("OOM");
    }
    return paths.items;
}

// Artifacts.

/// The baseline CPU and the default range of system versions of the architecture, whatever the
/// host is, unless -Dcpu names another one.
fn resolveTarget(b: *Build, requested: std.Target.Query) Build.ResolvedTarget {
    var query = requested;
    if (query.cpu_arch == null) query.cpu_arch = b.graph.host.result.cpu.arch;
    if (query.os_tag == null) query.os_tag = b.graph.host.result.os.tag;
    if (query.cpu_model != .explicit) query.cpu_model = switch (query.cpu_arch.?) {
        .x86_64 => .{ .explicit = &std.Target.x86.cpu.x86_64_v2 },
        else => .baseline,
    };
    return b.resolveTargetQuery(query);
}

/// Every kernel tier of the target's architecture, one object each.
fn addKernels(b: *Build, target: Build.ResolvedTarget) []const *Compile {
    var objects: std.ArrayList(*Compile) = .empty;
    for (kernel_tiers) |tier| {
        if (tier.arch != target.result.cpu.arch) continue;
        const options = b.addOptions();
        options.addOption([:0]const u8, "name", tier.name);
        options.addOption(?[:0]const u8, "base", tier.base);
        objects.append(b.allocator, b.addObject(.{
            .name = b.fmt("kernels-{s}", .{tier.name}),
            .root_module = b.createModule(.{
                .root_source_file = b.path("zig/kernels/tier_object.zig"),
                .target = b.resolveTargetQuery(.{
                    .cpu_arch = tier.arch,
                    .cpu_model = .{ .explicit = tier.cpu },
                    .cpu_features_add = tier.features,
                    .os_tag = target.result.os.tag,
                    .abi = target.result.abi,
                }),
                .optimize = .ReleaseFast,
                .strip = true,
                .pic = true,
                // Otherwise a loop that copies becomes a call of the function that it replaces.
                .no_builtin = true,
                .imports = &.{.{ .name = "tier", .module = options.createModule() }},
            }),
            .use_llvm = true,
        })) catch @panic("OOM");
    }
    return objects.items;
}

/// The engine. Whatever imports this module links its kernels too.
fn createCore(
    b: *Build,
    target: Build.ResolvedTarget,
    kernels: []const *Compile,
    optimize: std.builtin.OptimizeMode,
) *Build.Module {
    const core = b.createModule(.{
        .root_source_file = b.path("zig/vectorlite.zig"),
        .target = target,
        .optimize = optimize,
        .strip = optimize != .Debug,
        .pic = true,
    });
    for (kernels) |object| core.addObject(object);
    return core;
}

/// A module at the C boundary, which sees the engine only by its name.
fn createBoundary(b: *Build, root: []const u8, core: *Build.Module) *Build.Module {
    return b.createModule(.{
        .root_source_file = b.path(root),
        .target = core.resolved_target,
        .optimize = core.optimize,
        .strip = core.strip,
        .pic = true,
        .imports = &.{.{ .name = "vectorlite", .module = core }},
    });
}

fn addLibrary(b: *Build, core: *Build.Module) *Compile {
    const library = b.addLibrary(.{
        .name = "vectorlite",
        .linkage = .dynamic,
        .root_module = createBoundary(b, "zig/c_api.zig", core),
    });
    // Node-API functions live in the program that loads the library. On Windows they are looked up
    // at run time instead.
    library.linker_allow_shlib_undefined = true;
    // Found when first called, so that a program without Node-API can open the library as well.
    library.link_z_lazy = true;
    return library;
}

/// Only the library itself: no import library, no debug database, and the same folder on every
/// system.
fn installLibrary(b: *Build, library: *Compile, dir: Build.InstallDir) *Build.Step.InstallArtifact {
    return b.addInstallArtifact(library, .{
        .dest_dir = .{ .override = dir },
        .pdb_dir = .disabled,
        .h_dir = .disabled,
        .implib_dir = .disabled,
    });
}

// Steps.

fn addPlatformSteps(context: Context) void {
    const b = context.b;
    const check_step = b.step("check", "Type-check the library for every platform");
    const all_step = b.step("all-targets", "Build zig-out/platforms/<name>/ for every platform");
    for (platforms) |platform| {
        const target = resolveTarget(b, .{ .cpu_arch = platform.arch, .os_tag = platform.os });
        const core = createCore(b, target, addKernels(b, target), context.optimize);
        // A compilation that nothing installs is not emitted, so the check needs one of its own.
        check_step.dependOn(&addLibrary(b, core).step);

        const library = addLibrary(b, core);
        for (platform.names) |name| {
            const dir: Build.InstallDir = .{ .custom = b.fmt("platforms/{s}", .{name}) };
            const install = installLibrary(b, library, dir);
            all_step.dependOn(&SizeCheck.create(b, name, library, &install.step).step);
        }
    }
}

/// Prints the size of a library and fails when it is over the limit.
const SizeCheck = struct {
    step: Build.Step,
    platform: []const u8,
    library: Build.LazyPath,

    fn create(b: *Build, platform: []const u8, library: *Compile, after: *Build.Step) *SizeCheck {
        const check = b.allocator.create(SizeCheck) catch @panic("OOM");
        check.* = .{
            .step = .init(.{
                .id = .custom,
                .name = b.fmt("size of {s}", .{platform}),
                .owner = b,
                .makeFn = make,
            }),
            .platform = platform,
            .library = library.getEmittedBin(),
        };
        check.library.addStepDependencies(&check.step);
        check.step.dependOn(after);
        return check;
    }

    fn make(step: *Build.Step, options: Build.Step.MakeOptions) anyerror!void {
        _ = options;
        const check: *SizeCheck = @fieldParentPtr("step", step);
        const b = step.owner;
        const io = b.graph.io;
        const path = check.library.getPath3(b, step);
        const stat = try path.root_dir.handle.statFile(io, path.sub_path, .{});
        if (stat.size > library_bytes_max) return step.fail(
            "the library for {s} has {d} bytes; the limit is {d}",
            .{ check.platform, stat.size, library_bytes_max },
        );
        var buffer: [128]u8 = undefined;
        const line = try std.fmt.bufPrint(
            &buffer,
            "{s: <18}{d: >9} bytes\n",
            .{ check.platform, stat.size },
        );
        try std.Io.File.stdout().writeStreamingAll(io, line);
    }
};

fn addTestStep(context: Context) void {
    const b = context.b;
    const step = b.step("test", "Run every Zig test and check the formatting");
    step.dependOn(&b.addFmt(.{ .paths = zigPaths(b), .check = true }).step);

    const core = createTestCore(context, context.optimize_test);
    addTest(context, step, "core", core);
    addTest(context, step, "c_api", createBoundary(b, "zig/c_api.zig", core));
    const options = b.addOptions();
    const crash_scale = b.option(
        u32,
        "crash-scale",
        "How many times as many crashes the crash tests try (default: 1)",
    ) orelse 1;
    options.addOption(u32, "scale", crash_scale);
    options.addOption(?u64, "seed", b.option(
        u64,
        "crash-seed",
        "The only seed of the simulation that is run",
    ));
    const fuzz_options = addFuzzOptions(b);
    fuzz_options.addOption(bool, "is_afl", false);
    const is_told = b.option(
        bool,
        "test-tally",
        "Say what the tests have covered (default: where one of the scales is not 1)",
    );
    options.addOption(bool, "tally", is_told orelse (crash_scale > 1));
    fuzz_options.addOption(?bool, "tally", is_told);
    // These tests open some hundred thousand files, which takes too long without optimization.
    const core_safe = createTestCore(context, .ReleaseSafe);
    for (zigFilesIn(b, "test/zig")) |path| {
        const name = std.fs.path.stem(path);
        const is_together = isTogether(b, name);
        if (is_together and context.test_suites.len == 0) continue;
        const is_long = is_together or contains(&.{ "together", "crash", "churn", "fuzz" }, name);
        const imported = if (is_long) core_safe else core;
        const module = b.createModule(.{
            .root_source_file = b.path(path),
            .target = context.target,
            .optimize = imported.optimize,
            .imports = &.{
                .{ .name = "vectorlite", .module = imported },
                .{ .name = "crash_options", .module = options.createModule() },
                .{ .name = "fuzz_options", .module = fuzz_options.createModule() },
            },
        });
        // A test compares the document with the declarations.
        module.addAnonymousImport("file-format.md", .{
            .root_source_file = b.path("docs/file-format.md"),
        });
        // Programs of calls see the C functions as a foreign caller does.
        if (std.mem.eql(u8, name, "fuzz")) {
            module.addImport("c_api", createBoundary(b, "zig/c_api/functions.zig", imported));
        }
        addTest(context, step, name, module);
    }
}

/// Whether test/zig/together.zig imports it: what is left out of an ordinary run is in there.
fn isTogether(b: *Build, name: []const u8) bool {
    const together = @embedFile("test/zig/together.zig");
    const import = b.fmt("@import(\"{s}.zig\")", .{name});
    return std.mem.indexOf(u8, together, import) != null;
}

fn contains(names: []const []const u8, wanted: []const u8) bool {
    for (names) |name| if (std.mem.eql(u8, name, wanted)) return true;
    return false;
}

fn addFuzzOptions(b: *Build) *Build.Step.Options {
    const options = b.addOptions();
    options.addOption(u64, "scale", b.option(
        u64,
        "fuzz-scale",
        "How many times as many executions the fuzz targets make (default: 1, 10 seconds)",
    ) orelse 1);
    options.addOption(u64, "seed", b.option(
        u64,
        "fuzz-seed",
        "Of the first execution of each fuzz target (default: 0)",
    ) orelse 0);
    options.addOption(?u64, "count", b.option(
        u64,
        "fuzz-count",
        "Executions of each fuzz target, whatever the scale",
    ));
    return options;
}

/// The runtime is the object that AFL++ brings, which only who asks for it needs.
fn addAflStep(context: Context) void {
    const b = context.b;
    const step = b.step("afl", "Build zig-out/bin/fuzz-afl (needs -Dafl-runtime)");
    const runtime = b.option(
        []const u8,
        "afl-runtime",
        "AFL++'s afl-compiler-rt.o",
    ) orelse return step.dependOn(&b.addFail("give -Dafl-runtime").step);
    const options = b.addOptions();
    options.addOption(bool, "is_afl", true);
    const program = b.addExecutable(.{
        .name = "fuzz-afl",
        .root_module = b.createModule(.{
            .root_source_file = b.path("test/zig/fuzz.zig"),
            .target = context.target,
            .optimize = .ReleaseSafe,
            .link_libc = true,
            .imports = &.{
                .{ .name = "vectorlite", .module = createTestCore(context, .ReleaseSafe) },
                .{ .name = "fuzz_options", .module = options.createModule() },
            },
        }),
    });
    program.sanitize_coverage_trace_pc_guard = true;
    program.root_module.addObjectFile(.{ .cwd_relative = runtime });
    // Instrumented code writes the depth of its stack to a variable that AFL++ does not bring, and
    // that the compiler wants to be of another object.
    const stack = "export threadlocal var __sancov_lowest_stack: usize = ~@as(usize, 0);\n";
    program.root_module.addObject(b.addObject(.{
        .name = "afl_stack",
        .root_module = b.createModule(.{
            .root_source_file = b.addWriteFiles().add("afl_stack.zig", stack),
            .target = context.target,
            .optimize = .ReleaseFast,
        }),
    }));
    step.dependOn(&b.addInstallArtifact(program, .{}).step);
}

/// With its debug information: a failed test shows where, and the optimizing backend of Zig 0.16.0
/// dies of a module without it inside of a test that has it.
fn createTestCore(context: Context, optimize: std.builtin.OptimizeMode) *Build.Module {
    const core = createCore(context.b, context.target, context.kernels, optimize);
    core.strip = false;
    return core;
}

fn addTest(context: Context, step: *Build.Step, name: []const u8, module: *Build.Module) void {
    if (!isWanted(context, name)) return;
    const compile = context.b.addTest(.{
        .name = context.b.fmt("test-{s}", .{name}),
        .root_module = module,
        .filters = context.test_filters,
    });
    step.dependOn(&addTestRun(context, compile).step);
}

fn addTestRun(context: Context, compile: *Compile) *Build.Step.Run {
    const b = context.b;
    const run = if (context.test_under) |command| run: {
        const run = Build.Step.Run.create(b, b.fmt("run {s}", .{compile.name}));
        run.producer = compile;
        var words = std.mem.tokenizeScalar(u8, command, ' ');
        while (words.next()) |word| run.addArg(word);
        run.addArtifactArg(compile);
        if (compile.kind == .@"test") run.enableTestRunnerMode();
        break :run run;
    } else b.addRunArtifact(compile);
    // With -Dtarget the tests of another machine are compiled, which is worth something.
    run.skip_foreign_checks = true;
    return run;
}

/// A program in C opens the file that is published for the target, as a stranger would.
fn addTestLibraryStep(context: Context) void {
    const b = context.b;
    const step = b.step("test-library", "Open the library in a C program, also with -Dtarget");
    const system = context.target.result;
    const target = resolveTarget(b, .{ .cpu_arch = system.cpu.arch, .os_tag = system.os.tag });
    const host = b.graph.host;
    const is_host = context.target.query.abi == null and system.os.tag == host.result.os.tag and
        system.cpu.arch == host.result.cpu.arch;
    const program = b.addExecutable(.{
        .name = "open_library",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            // With the libc of this machine, whichever that is.
            .target = if (is_host) host else context.target,
            .optimize = .ReleaseSafe,
            .link_libc = true,
        }),
    });
    program.root_module.addCSourceFile(.{
        .file = b.path("test/programs/open_library.c"),
        .flags = &.{ "-std=c11", "-Wall", "-Wextra", "-Werror" },
    });
    const run = addTestRun(context, program);
    const core = createCore(b, target, addKernels(b, target), context.optimize);
    run.addArtifactArg(addLibrary(b, core));
    _ = run.addOutputFileArg("library.vl");
    step.dependOn(&run.step);
}

fn isWanted(context: Context, name: []const u8) bool {
    return context.test_suites.len == 0 or contains(context.test_suites, name);
}

fn addAbiSteps(context: Context) void {
    const b = context.b;
    const path = "src/native/abi.generated.ts";
    // The generator runs here, whatever the library is built for.
    const target = resolveTarget(b, .{});
    const core = createCore(b, target, addKernels(b, target), .Debug);
    const generator = b.addExecutable(.{
        .name = "abi_gen",
        .root_module = createBoundary(b, "zig/abi_gen.zig", core),
    });
    const generated = b.addRunArtifact(generator).captureStdOut(.{});

    const update = b.addUpdateSourceFiles();
    update.addCopyFileToSource(generated, path);
    b.step("abi", "Write " ++ path).dependOn(&update.step);

    const committed = b.build_root.handle.readFileAlloc(
        b.graph.io,
        path,
        b.allocator,
        .limited(1 << 20),
    ) catch "";
    const check = b.addCheckFile(generated, .{ .expected_exact = committed });
    check.setName(path ++ " is what `zig build abi` writes");
    b.step("check-abi", "Fail when " ++ path ++ " is stale").dependOn(&check.step);
}

/// Every file bench/<name>.zig is a program: `zig build bench-<name>`.
fn addBenchSteps(context: Context) void {
    const b = context.b;
    const core = createCore(b, context.target, context.kernels, context.optimize);
    for (zigFilesIn(b, "bench")) |path| {
        const name = std.fs.path.stem(path);
        const bench = b.addExecutable(.{
            .name = b.fmt("bench-{s}", .{name}),
            .root_module = b.createModule(.{
                .root_source_file = b.path(path),
                .target = context.target,
                .optimize = .ReleaseFast,
                // As the engine: see createTestCore for what else would happen.
                .strip = true,
                .imports = &.{.{ .name = "vectorlite", .module = core }},
            }),
        });
        const run = b.addRunArtifact(bench);
        if (b.args) |args| run.addArgs(args);
        b.step(b.fmt("bench-{s}", .{name}), b.fmt("Run {s}", .{path})).dependOn(&run.step);
    }
}

/// The Zig files directly in a folder, sorted; none where there is no such folder.
fn zigFilesIn(b: *Build, folder: []const u8) []const []const u8 {
    const io = b.graph.io;
    var paths: std.ArrayList([]const u8) = .empty;
    var dir = b.build_root.handle.openDir(io, folder, .{ .iterate = true }) catch return &.{};
    defer dir.close(io);
    var entries = dir.iterate();
    while (entries.next(io) catch @panic("unreadable folder")) |entry| {
        if (!std.mem.endsWith(u8, entry.name, ".zig")) continue;
        paths.append(b.allocator, b.pathJoin(&.{ folder, entry.name })) catch @panic("OOM");
    }
    std.mem.sort([]const u8, paths.items, {}, struct {
        fn lessThan(_: void, a: []const u8, c: []const u8) bool {
            return std.mem.lessThan(u8, a, c);
        }
    }.lessThan);
    return paths.items;
}
