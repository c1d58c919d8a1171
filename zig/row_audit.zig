//! Reads the rows of one segment in their order, straight from the file, and holds everything that
//! has a checksum against it. What does not match is an answer, not an error.

const std = @import("std");
const os = @import("os/os.zig");
const checksum = @import("checksum.zig");
const codes_module = @import("codes.zig");
const column_reader = @import("column_reader.zig");
const damage = @import("damage.zig");
const format = @import("format.zig");
const rows = @import("rows.zig");
const soundness = @import("soundness.zig");

pub const Problem = struct { kind: damage.Kind, offset: u64, what: []const u8 };

pub const Record = struct {
    offset: u64,
    header: format.Record,
    key: []const u8,
    /// Null where it is damaged.
    metadata: ?[]const u8,

    /// Up to the end of the metadata, without padding.
    pub fn bytes(record: *const Record) u64 {
        return @sizeOf(format.Record) + record.key.len + record.header.metadata_bytes;
    }
};

/// What one row has; slices are valid until the next one is read.
pub const Row = struct {
    entry: ?format.RowEntry = null,
    vector: ?[]const f32 = null,
    record: ?Record = null,
    problems: [3]Problem = undefined,
    problem_count: usize = 0,

    pub fn isWhole(row: *const Row) bool {
        return row.problem_count == 0;
    }

    fn note(row: *Row, kind: damage.Kind, offset: u64, what: []const u8) void {
        row.problems[row.problem_count] = .{ .kind = kind, .offset = offset, .what = what };
        row.problem_count += 1;
    }
};

pub const RowAudit = struct {
    gpa: std.mem.Allocator,
    file: os.File,
    collection_id: u32,
    dimension: u32,
    vectors: Window = .{},
    entries: Window = .{},
    records: Window = .{},
    coded: Window = .{},

    pub fn deinit(audit: *RowAudit) void {
        audit.vectors.buffer.deinit(audit.gpa);
        audit.entries.buffer.deinit(audit.gpa);
        audit.records.buffer.deinit(audit.gpa);
        audit.coded.buffer.deinit(audit.gpa);
        audit.* = undefined;
    }

    /// Bytes that were read from the file so far.
    pub fn bytesRead(audit: *const RowAudit) u64 {
        return audit.vectors.bytes_read + audit.entries.bytes_read + audit.records.bytes_read;
    }

    pub fn stride(audit: *const RowAudit) u64 {
        return format.vectorStride(audit.dimension);
    }

    pub fn entryOffset(audit: *const RowAudit, disk: *const format.Segment, row: u32) u64 {
        return format.pageOffset(disk.extent_page) + disk.capacity * audit.stride() +
            @as(u64, row) * @sizeOf(format.RowEntry);
    }

    pub fn vectorOffset(audit: *const RowAudit, disk: *const format.Segment, row: u32) u64 {
        return format.pageOffset(disk.extent_page) + row * audit.stride();
    }

    /// `amended` is where the record lies that took the place of the row's own; null where none
    /// did.
    pub fn read(
        audit: *RowAudit,
        disk: *const format.Segment,
        row: u32,
        amended: ?u64,
    ) error{OutOfMemory}!Row {
        var out: Row = .{};
        const seed = format.rowSeed(audit.collection_id, .of(disk, row));
        const entry_offset = audit.entryOffset(disk, row);
        const entry = try audit.readEntry(&out, seed, entry_offset) orelse return out;
        out.entry = entry;
        const vector_offset = audit.vectorOffset(disk, row);
        const vector_bytes = audit.dimension * @sizeOf(f32);
        const content = try audit.vectors.get(audit, vector_offset, vector_bytes);
        if (content == null) {
            out.note(.unreadable, vector_offset, "the vector cannot be read");
        } else if (checksum.bytes(seed, content.?) != entry.vector_checksum) {
            out.note(.vector, vector_offset, "the vector does not match its checksum");
        } else {
            out.vector = @alignCast(std.mem.bytesAsSlice(f32, content.?));
        }
        try audit.readRecord(&out, seed, amended orelse entry.record_offset);
        return out;
    }

    /// A block of codes that begins with the row, or a centre; null where it is whole.
    pub fn codes(
        audit: *RowAudit,
        disk: *const format.Segment,
        row: u32,
        offset: u64,
        len: u64,
    ) error{OutOfMemory}!?Problem {
        const seed = format.rowSeed(audit.collection_id, .of(disk, row));
        const content = try audit.coded.get(audit, offset, @intCast(len)) orelse
            return .{ .kind = .unreadable, .offset = offset, .what = "codes cannot be read" };
        if (codes_module.isWhole(seed, content)) return null;
        return .{
            .kind = .codes,
            .offset = offset,
            .what = "codes do not match their checksum",
        };
    }

    /// What was found of a block of columns.
    pub const Columns = struct {
        problem: ?Problem = null,
        /// Bytes that are whole.
        used: u64 = 0,
        /// Where it lies, unless that cannot be.
        offset: u64 = 0,
        bytes: u64 = 0,
    };

    /// The block of columns whose first row it is. `amended` is the entry that took the place of
    /// the one in the fixed extent; null where none did.
    pub fn columns(
        audit: *RowAudit,
        disk: *const format.Segment,
        row: u32,
        amended: ?*const format.ColumnEntry,
    ) error{OutOfMemory}!Columns {
        var found: Columns = .{};
        found.problem = try audit.readColumns(disk, row, amended, &found);
        return found;
    }

    fn readColumns(
        audit: *RowAudit,
        disk: *const format.Segment,
        row: u32,
        amended: ?*const format.ColumnEntry,
        found: *Columns,
    ) error{OutOfMemory}!?Problem {
        const seed = format.rowSeed(audit.collection_id, .of(disk, row));
        const offset = disk.columnEntryOffset(row / disk.column_rows, audit.dimension);
        const entry = if (amended) |newer| newer.* else own: {
            const fixed = try audit.coded.get(audit, offset, @sizeOf(format.ColumnEntry)) orelse
                return .{ .kind = .unreadable, .offset = offset, .what = "columns cannot be read" };
            break :own std.mem.bytesToValue(format.ColumnEntry, fixed);
        };
        if (column_reader.entryChecksum(seed, &entry) != entry.checksum) return .{
            .kind = .columns,
            .offset = offset,
            .what = "the entry of columns does not match its checksum",
        };
        // One of an amendment lies in a page that counts as a whole.
        if (amended == null) found.used += @sizeOf(format.ColumnEntry);
        if (!column_reader.isPlace(disk, &entry)) return .{
            .kind = .columns,
            .offset = offset,
            .what = "columns lie outside of their segment's heap",
        };
        found.offset = entry.offset;
        found.bytes = entry.bytes;
        const content = try audit.records.get(audit, entry.offset, entry.bytes) orelse return .{
            .kind = .unreadable,
            .offset = entry.offset,
            .what = "columns cannot be read",
        };
        if (checksum.bytes(seed, content) != entry.block_checksum) return .{
            .kind = .columns,
            .offset = entry.offset,
            .what = "columns do not match their checksum",
        };
        found.used += entry.bytes;
        return null;
    }

    fn readEntry(
        audit: *RowAudit,
        out: *Row,
        seed: u64,
        offset: u64,
    ) error{OutOfMemory}!?format.RowEntry {
        const content = try audit.entries.get(audit, offset, @sizeOf(format.RowEntry)) orelse {
            out.note(.unreadable, offset, "the row's entry cannot be read");
            return null;
        };
        const entry = std.mem.bytesToValue(format.RowEntry, content);
        if (rows.entryChecksum(seed, &entry) == entry.checksum) return entry;
        out.note(.row, offset, "the row's entry does not match its checksum");
        return null;
    }

    fn readRecord(audit: *RowAudit, out: *Row, seed: u64, offset: u64) error{OutOfMemory}!void {
        const fixed_bytes = @sizeOf(format.Record);
        const fixed = try audit.records.get(audit, offset, fixed_bytes) orelse
            return out.note(.unreadable, offset, "the record cannot be read");
        const header = std.mem.bytesToValue(format.Record, fixed);
        if (!soundness.isRecord(&header)) {
            return out.note(.record, offset, "the record says impossible lengths");
        }
        const key_end = fixed_bytes + header.key_bytes;
        const whole = try audit.records.get(audit, offset, key_end + header.metadata_bytes);
        const named = whole orelse try audit.records.get(audit, offset, key_end) orelse
            return out.note(.unreadable, offset, "the record cannot be read");
        if (checksum.bytes(seed, named[@sizeOf(u64)..key_end]) != header.checksum) {
            return out.note(.record, offset, "the record does not match its checksum");
        }
        out.record = .{
            .offset = offset,
            .header = header,
            .key = named[fixed_bytes..key_end],
            .metadata = null,
        };
        const metadata_offset = offset + key_end;
        const bytes = whole orelse
            return out.note(.unreadable, metadata_offset, "the metadata cannot be read");
        const metadata = bytes[key_end..];
        if (checksum.bytes(seed, metadata) != header.metadata_checksum) {
            return out.note(.metadata, metadata_offset, "the metadata does not match its checksum");
        }
        out.record.?.metadata = metadata;
    }
};

/// The bytes around the last place that was asked for, so that rows in order cost few reads.
const Window = struct {
    buffer: std.array_list.Aligned(u8, .fromByteUnits(format.page_alignment)) = .empty,
    offset: u64 = 0,
    bytes_read: u64 = 0,

    const chunk_bytes = 128 * 1024;

    /// Valid until the next call; null where the file does not have or give all of it.
    fn get(
        window: *Window,
        audit: *const RowAudit,
        offset: u64,
        len: usize,
    ) error{OutOfMemory}!?[]const u8 {
        // No content lies there, and no sum below goes beyond its integer.
        if (offset >= format.lock_base) return null;
        const have = window.buffer.items.len;
        if (offset >= window.offset and offset - window.offset + len <= have) {
            return window.buffer.items[@intCast(offset - window.offset)..][0..len];
        }
        // A bad sector behind what is wanted must not take it along.
        if (try window.fill(audit, offset, @max(len, chunk_bytes)) < len and
            try window.fill(audit, offset, len) < len) return null;
        return window.buffer.items[0..len];
    }

    fn fill(
        window: *Window,
        audit: *const RowAudit,
        offset: u64,
        len: usize,
    ) error{OutOfMemory}!usize {
        // A damaged record may claim to be long: what the file does not have takes no memory.
        const stat = audit.file.stat() catch return 0;
        const wanted = @min(len, stat.length -| offset);
        try window.buffer.resize(audit.gpa, @intCast(wanted));
        const found = audit.file.read(offset, window.buffer.items) catch |err| switch (err) {
            error.OutOfMemory => return error.OutOfMemory,
            else => 0,
        };
        window.buffer.shrinkRetainingCapacity(found);
        window.offset = offset;
        window.bytes_read += found;
        return found;
    }
};
