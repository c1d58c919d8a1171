//! Prints `src/native/abi.generated.ts`: what TypeScript must know about the C ABI, read from the
//! declarations themselves. `zig build abi` writes the file, `zig build check-abi` fails when it is
//! stale. The output is what a formatter with 2 spaces and 100 columns would make of it.

const std = @import("std");
const vectorlite = @import("vectorlite");
const database = @import("c_api/database.zig");
const collection = @import("c_api/collection.zig");
const functions = @import("c_api/functions.zig");
const job_runner = @import("c_api/job_runner.zig");
const options = @import("c_api/options.zig");
const signatures = @import("c_api/signature.zig");
const Status = @import("c_api/status.zig").Status;

const Writer = std.Io.Writer;
const columns_max = 100;

pub fn main(init: std.process.Init) !void {
    var buffer: [4096]u8 = undefined;
    var stdout = std.Io.File.stdout().writerStreaming(init.io, &buffer);
    try writeFile(&stdout.interface);
    try stdout.interface.flush();
}

fn writeFile(w: *Writer) !void {
    try w.writeAll(
        \\// Written by zig/abi_gen.zig from zig/c_api/. Do not edit: run `zig build abi`.
        \\
        \\/** What `vl_abi_version` must return. */
        \\
    );
    try w.print("export const ABI_VERSION = {d};\n", .{database.abi_version});
    try writeEnum(w, Status, "Status", "What every function except `vl_abi_version` returns.");
    try writeEnum(w, vectorlite.Metric, "Metric", "How a collection compares vectors.");
    try writeEnum(w, vectorlite.Durability, "Durability", "What survives a power loss.");
    try writeEnum(w, vectorlite.JobKind, "JobKind", "What `vl_job_open` starts.");
    try writeLayout(w, vectorlite.Hit, "Hit", "One search hit");
    try writeLayout(w, options.DatabaseOptions, "DatabaseOptions", "Options of `vl_database_open`");
    try writeFlags(w, options.DatabaseFlags, "DatabaseFlags");
    try writeLayout(
        w,
        options.CollectionOptions,
        "CollectionOptions",
        "Options of `vl_collection_open`",
    );
    try writeFlags(w, options.CollectionFlags, "CollectionFlags");
    try w.print(
        \\
        \\/** `CollectionOptions.metric`: whatever the file says. */
        \\export const METRIC_UNSPECIFIED = {d};
        \\
        \\/** `include` of `vl_collection_scan` and `vl_collection_fetch`: vectors too. */
        \\export const INCLUDE_VECTORS = {d};
        \\
    , .{ options.CollectionOptions.metric_unspecified, collection.include_vectors });
    try writeNames(w, vectorlite.DatabaseStats, "databaseStatsFields", "vl_database_stats");
    try writeNames(w, vectorlite.CollectionStats, "collectionStatsFields", "vl_collection_stats");
    try writeNames(w, vectorlite.SearchReport, "searchReportFields", "vl_collection_search");
    try w.writeAll("\n/** The names of `cpu_tier`, by its number. */\nexport const cpuTiers = [\n");
    for (std.enums.values(vectorlite.kernels.Tier)) |tier| {
        try w.print("  \"{s}\",\n", .{tier.text()});
    }
    try w.writeAll("] as const;\n");
    try writeInterface(w);
    try writeSymbols(w);
}

fn writeEnum(w: *Writer, comptime Enum: type, name: []const u8, doc: []const u8) !void {
    try w.print("\n/** {s} */\nexport const {s} = {{\n", .{ doc, name });
    inline for (@typeInfo(Enum).@"enum".fields) |field| {
        try w.print("  {s}: {d},\n", .{ upper(field.name), field.value });
    }
    try w.writeAll("} as const;\n");
}

fn upper(comptime name: []const u8) [name.len]u8 {
    var buffer: [name.len]u8 = undefined;
    _ = std.ascii.upperString(&buffer, name);
    return buffer;
}

fn writeLayout(w: *Writer, comptime Struct: type, name: []const u8, doc: []const u8) !void {
    try w.print(
        "\n/** {s}: byte offsets of the fields, and the size of all. */\nexport const {s} = {{\n",
        .{ doc, name },
    );
    inline for (@typeInfo(Struct).@"struct".fields) |field| {
        try w.print("  {s}: {d},\n", .{ field.name, @offsetOf(Struct, field.name) });
    }
    // An options block has a field of the name that a plain struct's size gets.
    const size_name = if (@hasField(Struct, "size")) "byteLength" else "size";
    try w.print("  {s}: {d},\n}} as const;\n", .{ size_name, @sizeOf(Struct) });
}

fn writeFlags(w: *Writer, comptime Flags: type, name: []const u8) !void {
    try w.print("\n/** Bits of `flags`. */\nexport const {s} = {{\n", .{name});
    inline for (@typeInfo(Flags).@"struct".fields) |field| {
        if (field.type != bool) continue;
        const bit = 1 << @bitOffsetOf(Flags, field.name);
        try w.print("  {s}: {d},\n", .{ upper(field.name), bit });
    }
    try w.writeAll("} as const;\n");
}

fn writeNames(w: *Writer, comptime Struct: type, name: []const u8, function: []const u8) !void {
    try w.print(
        "\n/** The order in which `{s}` writes its numbers. */\nexport const {s} = [\n",
        .{ function, name },
    );
    inline for (@typeInfo(Struct).@"struct".fields) |field| {
        try w.print("  \"{s}\",\n", .{field.name});
    }
    try w.writeAll("] as const;\n");
}

fn writeInterface(w: *Writer) !void {
    try w.writeAll(
        \\
        \\/**
        \\ * The library's functions. A number named after a buffer, or `count`, is how many of its
        \\ * elements the function may touch.
        \\ */
        \\export interface NativeLibrary {
        \\
    );
    inline for (functions.list) |entry| {
        const signature = comptime signatures.of(entry);
        const declared = comptime declared: {
            var texts: [signature.parameters.len][]const u8 = undefined;
            for (signature.parameters, &texts) |parameter, *text| {
                text.* = parameter.name ++ ": " ++ typeScriptType(parameter);
            }
            break :declared texts;
        };
        try writeList(w, .{
            .before = "  " ++ signature.name ++ "(",
            .after = "): number;\n",
            .indent = "  ",
        }, &declared);
    }
    try w.writeAll("}\n");
    try w.print(
        \\
        \\/** The same where Node-API loaded it, which can also run a job on a thread of its own. */
        \\export interface NodeApiLibrary extends NativeLibrary {{
        \\  {s};
        \\}}
        \\
    , .{job_runner.declaration});
}

fn typeScriptType(comptime parameter: signatures.Parameter) []const u8 {
    return switch (parameter.kind) {
        .u32, .i32, .f64 => "number",
        .bytes => "Uint8Array",
        .words => "Uint32Array",
        .floats => "Float32Array",
        .doubles => "Float64Array",
    } ++ if (parameter.optional) " | null" else "";
}

fn writeSymbols(w: *Writer) !void {
    try w.writeAll("\n/** The same functions as `bun:ffi` wants them declared. */\n");
    try w.writeAll("export const symbols = {\n");
    inline for (functions.list) |entry| {
        const signature = comptime signatures.of(entry);
        const types = comptime types: {
            var texts: [signature.parameters.len][]const u8 = undefined;
            for (signature.parameters, &texts) |parameter, *text| text.* = bunType(parameter);
            break :types texts;
        };
        const result = comptime bunType(.{ .name = "", .kind = signature.result });
        const before = "  " ++ signature.name ++ ": { args: [";
        const after = "], returns: " ++ result ++ " },\n";
        if (widthOf(before, after, &types) <= columns_max) {
            try writeList(w, .{ .before = before, .after = after, .indent = "" }, &types);
        } else {
            const frame: Frame = .{ .before = "    args: [", .after = "],\n", .indent = "    " };
            try w.writeAll("  " ++ signature.name ++ ": {\n");
            try writeList(w, frame, &types);
            try w.writeAll("    returns: " ++ result ++ ",\n  },\n");
        }
    }
    try w.writeAll("} as const;\n");
}

/// The kind of pointer is the policy: Bun refuses null for a "buffer" and passes it for a "ptr".
fn bunType(comptime parameter: signatures.Parameter) []const u8 {
    return switch (parameter.kind) {
        .u32 => "\"u32\"",
        .i32 => "\"i32\"",
        .f64 => "\"f64\"",
        .bytes, .words, .floats, .doubles => if (parameter.optional) "\"ptr\"" else "\"buffer\"",
    };
}

const Frame = struct { before: []const u8, after: []const u8, indent: []const u8 };

/// On one line where it fits, else one item on each.
fn writeList(w: *Writer, frame: Frame, items: []const []const u8) !void {
    const fits = widthOf(frame.before, frame.after, items) <= columns_max;
    try w.writeAll(frame.before);
    for (items, 0..) |item, i| {
        if (!fits) try w.print("\n{s}  ", .{frame.indent});
        try w.writeAll(item);
        if (!fits) try w.writeAll(",") else if (i + 1 < items.len) try w.writeAll(", ");
    }
    if (!fits) try w.print("\n{s}", .{frame.indent});
    try w.writeAll(frame.after);
}

fn widthOf(before: []const u8, after: []const u8, items: []const []const u8) usize {
    var width = before.len + std.mem.trimEnd(u8, after, "\n").len;
    for (items, 0..) |item, i| width += item.len + if (i + 1 < items.len) @as(usize, 2) else 0;
    return width;
}
