//! A file's first bytes: recognising them, and writing them so that power loss at any moment leaves
//! either a valid database or a file that is still recognised as an unfinished one.
//!
//! Order: empty root slot, header copy, sync; header, sync. Only with its first page is the file a
//! database, so a file whose first page is still zero, that is no longer than a new file and has no
//! commit is begun again.

const std = @import("std");
const os = @import("os/os.zig");
const checksum = @import("checksum.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const roots = @import("roots.zig");

const Error = errors.Error;

pub const Context = struct {
    file: os.File,
    system: os.System,
    diagnostics: *errors.Diagnostics,
    may_create: bool,
    may_write: bool,
    /// There is no file, only a copy of the bytes of one.
    is_copy: bool,
    busy_timeout_ms: u32,
};

/// Of the empty state that a new file begins with.
const first_transaction = 1;

const Found = union(enum) { header: format.Header, unfinished, foreign, newer: u16 };

pub fn readOrCreate(context: Context) Error!format.Header {
    switch (try look(context)) {
        .header => |header| return checkFeatures(context, header),
        .newer => |major| return newer(context, major),
        .foreign => return foreign(context),
        .unfinished => {},
    }
    if (!context.may_create) return unfinished(context);
    const range: os.LockRange = .{ .start = format.lock_writer, .len = 1 };
    const start = context.system.monotonicMs();
    while (!(context.file.lock(.writer, .exclusive, range) catch |err|
        return context.diagnostics.failOs(err, "taking the write lock")))
    {
        if (context.system.monotonicMs() -| start >= context.busy_timeout_ms) {
            return context.diagnostics.fail(
                error.Locked,
                "{f} has been creating the file for longer than the busy timeout of {d} ms; " ++
                    "repeat the call",
                .{ context.file.holder(range), context.busy_timeout_ms },
            );
        }
        context.system.sleepMs(1);
    }
    defer context.file.unlock(.writer, range);
    // Another process may have made it while this one waited.
    switch (try look(context)) {
        .header => |header| return checkFeatures(context, header),
        .newer => |major| return newer(context, major),
        .foreign => return foreign(context),
        .unfinished => return create(context),
    }
}

fn unfinished(context: Context) Error {
    if (context.is_copy) return context.diagnostics.fail(
        error.NotADatabase,
        "the bytes are of a file that was never finished, those of a whole VectorLite file are " ++
            "expected; read them again where they come from",
        .{},
    );
    return context.diagnostics.fail(
        error.NotADatabase,
        "the file is empty (or was never finished), a VectorLite file is expected; open it with " ++
            "create, and not readonly, to make one",
        .{},
    );
}

fn look(context: Context) Error!Found {
    var page: [format.slot_bytes]u8 align(8) = undefined;
    const primary = try readHeader(context, format.header_page, &page);
    if (primary == .header or primary == .newer) return primary;
    const is_blank = std.mem.allEqual(u8, &page, 0);
    const stat = context.file.stat() catch |err| return context.diagnostics.failOs(
        err,
        "looking at the file",
    );
    const copy = try readHeader(context, format.header_copy_page, &page);
    const is_new = is_blank and stat.length <= format.pageOffset(format.initial_pages);
    if (!is_new) return copy;
    return if (copy == .header and try hasCommits(context)) copy else .unfinished;
}

/// A first page that never reached the device, because its sync failed, does not make a file new:
/// whoever opened it in the same boot has seen the page, and may have committed.
fn hasCommits(context: Context) Error!bool {
    const slots = roots.Slots.read(context.file) catch |err| return context.diagnostics.failOs(
        err,
        "reading the root slots",
    );
    const newest = slots.newestDurable() orelse return false;
    return newest.root.transaction_id > first_transaction;
}

fn readHeader(context: Context, page: u32, bytes: *align(8) [format.slot_bytes]u8) Error!Found {
    @memset(bytes, 0);
    _ = context.file.read(format.pageOffset(page), bytes) catch |err|
        return context.diagnostics.failOs(err, "reading the file's header");
    const header = std.mem.bytesToValue(format.Header, bytes);
    if (!std.mem.eql(u8, &header.magic, &format.magic)) return .foreign;
    if (!std.mem.eql(
        u8,
        &header.checksum,
        &checksum.slot(bytes[0..@offsetOf(format.Header, "checksum")]),
    )) return .foreign;
    if (header.format_major > format.format_major) return .{ .newer = header.format_major };
    return .{ .header = header };
}

fn checkFeatures(context: Context, header: format.Header) Error!format.Header {
    const is_format = header.format_major == format.format_major and
        header.page_bytes == format.page_bytes;
    const may_open = header.incompatible_features == 0 and
        (header.readonly_features == 0 or !context.may_write);
    if (!is_format or !may_open) return newer(context, header.format_major);
    return header;
}

fn create(context: Context) Error!format.Header {
    var header: format.Header = .{
        .uuid = undefined,
        .hash_key = undefined,
        .created_ms = context.system.wallMs(),
    };
    context.system.random(&header.uuid);
    context.system.random(&header.hash_key);
    header.checksum = checksum.slot(
        std.mem.asBytes(&header)[0..@offsetOf(format.Header, "checksum")],
    );
    var root: format.Root = .{
        .transaction_id = first_transaction,
        .durable_sequence = 0,
        .kind = .durable,
        .collection_count = 0,
        .boot_id = @splat(0),
        .commit_ms = header.created_ms,
        .file_pages = format.initial_pages,
        .catalogue_len = 0,
        .catalogue = .none,
        .next_collection_id = 1,
    };
    roots.seal(&root);
    writeFirst(
        context.file,
        &header,
        &root,
    ) catch |err| return context.diagnostics.failOs(err, "creating the file");
    return header;
}

fn writeFirst(file: os.File, header: *const format.Header, root: *const format.Root) os.Error!void {
    try file.extend(format.pageOffset(format.initial_pages));
    try roots.writeEmpty(file, format.initial_pages);
    try roots.write(file, roots.durableSlot(0), root);
    try file.write(format.pageOffset(format.header_copy_page), &.{std.mem.asBytes(header)});
    try file.sync();
    try file.write(format.pageOffset(format.header_page), &.{std.mem.asBytes(header)});
    try file.sync();
}

fn foreign(context: Context) Error {
    if (context.is_copy) return context.diagnostics.fail(
        error.NotADatabase,
        "the bytes do not begin with a VectorLite header; pass those of a whole file, from its " ++
            "first one on",
        .{},
    );
    return context.diagnostics.fail(
        error.NotADatabase,
        "the file does not begin with a VectorLite header; check the path, or " ++
            "if the file was one, restore a backup or salvage() it",
        .{},
    );
}

fn newer(context: Context, major: u16) Error {
    return context.diagnostics.fail(
        error.Version,
        "the file has format {d} or features that this version, which knows " ++
            "format {d}, cannot use; update vectorlite",
        .{ major, format.format_major },
    );
}
