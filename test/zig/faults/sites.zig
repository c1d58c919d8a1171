//! The places in the engine that call the machine or allocate, read from its source; and the places
//! that a stack of return addresses stands for. Both are needed to say of how many places it was
//! shown what happens when they fail.

const std = @import("std");

const io = std.testing.io;

pub const Kind = enum { open, read, write, extend, sync, stat, lock, probe, map, allocation };

pub const Site = struct {
    file: []const u8,
    kind: Kind,
    text: []const u8,
    /// The call's first line, and the one with its last parenthesis.
    first: u32,
    last: u32,
    /// The function around a call of one that is inline: debug information then has nothing of
    /// the engine but who called that function.
    function: ?[]const u8,
    hits: u32 = 0,
};

/// A line of the engine. One without a file stands for an inline call that it makes.
pub const Line = struct { file: []const u8, line: u32, text: []const u8 };

const inline_call = "appendNTimes";

const machine_calls = [_]struct { []const u8, Kind }{
    .{ ".open(", .open },     .{ ".read(", .read }, .{ ".write(", .write },
    .{ ".extend(", .extend }, .{ ".sync(", .sync }, .{ ".stat(", .stat },
    .{ ".lock(", .lock },     .{ ".map(", .map },   .{ ".probe(", .probe },
};

/// Whatever is called on an allocator or gets one and grows.
const allocations = [_][]const u8{
    "create",       "alloc",                "alignedAlloc", "dupe",                "realloc",
    "append",       "appendNTimes",         "appendSlice",  "put",                 "getOrPut",
    "putNoClobber", "ensureUnusedCapacity", "resize",       "ensureTotalCapacity", "clone",
    "initEmpty",    "initFull",             "initCapacity", "toOwnedSlice",        "insert",
    "allocPrint",   "dupeZ",                "remap",        "allocSentinel",
};

pub const Engine = struct {
    arena: std.heap.ArenaAllocator,
    sites: std.ArrayList(Site) = .empty,
    files: std.StringArrayHashMapUnmanaged([]const u8) = .empty,
    lines: std.AutoHashMapUnmanaged(usize, []const Line) = .empty,

    /// Which files have the places, by how their names begin.
    pub const Choice = union(enum) { only: []const []const u8, except: []const []const u8 };

    /// `folder` has the engine's source.
    pub fn read(folder: []const u8, choice: Choice) !Engine {
        // The debugging allocator looks at stacks too, which it cannot while one is looked up.
        var engine: Engine = .{ .arena = .init(std.heap.page_allocator) };
        errdefer engine.deinit();
        const scratch = engine.arena.allocator();
        var dir = try std.Io.Dir.cwd().openDir(io, folder, .{ .iterate = true });
        defer dir.close(io);
        var entries = dir.iterate();
        while (try entries.next(io)) |entry| {
            if (entry.kind != .file or !std.mem.endsWith(u8, entry.name, ".zig")) continue;
            const text = try dir.readFileAlloc(io, entry.name, scratch, .limited(1 << 20));
            const name = try scratch.dupe(u8, entry.name);
            try engine.files.put(scratch, name, text);
            const is_chosen = switch (choice) {
                .only => |beginnings| startsWithAny(name, beginnings),
                .except => |beginnings| !startsWithAny(name, beginnings),
            };
            if (is_chosen) try engine.readFile(name, text);
        }
        return engine;
    }

    pub fn deinit(engine: *Engine) void {
        engine.arena.deinit();
    }

    fn readFile(engine: *Engine, name: []const u8, text: []const u8) !void {
        var line: u32 = 1;
        var at: usize = 0;
        var in_test = false;
        var function: []const u8 = "";
        while (at < text.len) : (line += 1) {
            const end = std.mem.indexOfScalarPos(u8, text, at, '\n') orelse text.len;
            const content = text[at..end];
            defer at = end + 1;
            if (std.mem.startsWith(u8, content, "test ") or testHelper(content)) in_test = true;
            if (std.mem.eql(u8, content, "}") or std.mem.eql(u8, content, "};")) in_test = false;
            const code = std.mem.trimStart(u8, content, " ");
            function = functionAt(code) orelse function;
            if (in_test or std.mem.startsWith(u8, code, "//")) continue;
            for (0..content.len) |i| {
                const kind = kindAt(content, text[at..], i) orelse continue;
                try engine.sites.append(engine.arena.allocator(), .{
                    .file = name,
                    .kind = kind,
                    .text = code,
                    .first = line,
                    .last = line + linesOfCall(text[at + i ..]),
                    .function = if (std.mem.startsWith(u8, content[i + 1 ..], inline_call))
                        function
                    else
                        null,
                });
            }
        }
    }

    /// The engine's lines of a stack, innermost first.
    pub fn resolve(engine: *Engine, addresses: []const usize, out: []Line) ![]Line {
        var count: usize = 0;
        for (addresses) |address| {
            const scratch = engine.arena.allocator();
            const known = try engine.lines.getOrPut(scratch, address);
            if (!known.found_existing) known.value_ptr.* = try engine.lookUp(address);
            for (known.value_ptr.*) |line| {
                if (count == out.len) return out;
                out[count] = line;
                count += 1;
            }
        }
        return out[0..count];
    }

    /// What was inlined there has lines of its own.
    fn lookUp(engine: *Engine, address: usize) ![]const Line {
        const scratch = engine.arena.allocator();
        const info = try std.debug.getSelfDebugInfo();
        var symbols: std.ArrayList(std.debug.Symbol) = .empty;
        // A return address is behind the call.
        info.getSymbols(io, scratch, scratch, address - 1, true, &symbols) catch return &.{};
        var lines: std.ArrayList(Line) = .empty;
        for (symbols.items) |symbol| {
            const location = symbol.source_location orelse continue;
            const folder = std.fs.path.dirname(location.file_name) orelse continue;
            if (std.mem.eql(u8, symbol.name orelse "", inline_call)) {
                try lines.append(scratch, .{ .file = "", .line = 0, .text = "" });
            }
            if (!std.mem.endsWith(u8, folder, "zig")) continue;
            if (std.mem.endsWith(u8, folder, "test/zig")) continue;
            const name = std.fs.path.basename(location.file_name);
            const index = engine.files.getIndex(name) orelse continue;
            const line: u32 = @intCast(location.line);
            var text = std.mem.splitScalar(u8, engine.files.values()[index], '\n');
            for (1..line) |_| _ = text.next();
            try lines.append(scratch, .{
                .file = engine.files.keys()[index],
                .line = line,
                .text = text.next() orelse "",
            });
        }
        return lines.items;
    }

    /// A call failed at these lines.
    pub fn hit(engine: *Engine, lines: []const Line, is_allocation: bool) void {
        for (lines, 0..) |line, i| for (engine.sites.items) |*site| {
            if ((site.kind == .allocation) != is_allocation) continue;
            if (line.file.len == 0) {
                const function = site.function orelse continue;
                if (i + 1 < lines.len and calls(lines[i + 1].text, function)) site.hits += 1;
                continue;
            }
            if (!std.mem.eql(u8, site.file, line.file)) continue;
            if (line.line >= site.first and line.line <= site.last) site.hits += 1;
        };
    }
};

fn calls(text: []const u8, function: []const u8) bool {
    const at = std.mem.indexOf(u8, text, function) orelse return false;
    return std.mem.startsWith(u8, text[at + function.len ..], "(");
}

fn startsWithAny(name: []const u8, beginnings: []const []const u8) bool {
    for (beginnings) |beginning| if (std.mem.startsWith(u8, name, beginning)) return true;
    return false;
}

fn functionAt(code: []const u8) ?[]const u8 {
    const at = std.mem.indexOf(u8, code, "fn ") orelse return null;
    const end = std.mem.indexOfScalarPos(u8, code, at, '(') orelse return null;
    return code[at + 3 .. end];
}

/// A helper of tests is a struct or a function that says so by its name.
fn testHelper(line: []const u8) bool {
    return std.mem.startsWith(u8, line, "const Test") or std.mem.startsWith(u8, line, "fn test");
}

/// What is called at `line[i]`, if that is a place.
fn kindAt(line: []const u8, rest: []const u8, i: usize) ?Kind {
    if (line[i] != '.') return null;
    for (machine_calls) |call| {
        if (!std.mem.startsWith(u8, line[i..], call[0])) continue;
        const receiver = wordBefore(line, i);
        for ([_][]const u8{ "file", "target", "system", "chosen" }) |word| {
            if (std.mem.eql(u8, receiver, word)) return call[1];
        }
    }
    for (allocations) |name| {
        if (!std.mem.startsWith(u8, line[i + 1 ..], name)) continue;
        const open = i + 1 + name.len;
        if (open >= line.len or line[open] != '(') continue;
        const receiver = wordBefore(line, i);
        if (std.mem.eql(u8, receiver, "gpa")) return .allocation;
        const argument = std.mem.trimStart(u8, rest[open + 1 ..], " \n");
        const end = std.mem.indexOfAny(u8, argument, ",)\n") orelse continue;
        if (std.mem.endsWith(u8, argument[0..end], "gpa")) return .allocation;
    }
    return null;
}

fn wordBefore(line: []const u8, end: usize) []const u8 {
    var start = end;
    while (start > 0 and (std.ascii.isAlphanumeric(line[start - 1]) or line[start - 1] == '_')) {
        start -= 1;
    }
    return line[start..end];
}

fn linesOfCall(text: []const u8) u32 {
    var depth: u32 = 0;
    var lines: u32 = 0;
    for (text) |character| switch (character) {
        '(' => depth += 1,
        ')' => {
            depth -= 1;
            if (depth == 0) break;
        },
        '\n' => lines += 1,
        else => {},
    };
    return lines;
}
