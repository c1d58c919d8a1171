//! Which rows of a segment match a filter: by their columns, and where those do not know, by the
//! documents of the rows. So every answer is exact, whatever the columns leave out.
//!
//! Columns that are damaged cost time and nothing else.

const std = @import("std");
const checksum = @import("checksum.zig");
const column_block = @import("column_block.zig");
const column_reader = @import("column_reader.zig");
const errors = @import("errors.zig");
const expiry = @import("expiry.zig");
const filter_columns = @import("filter_columns.zig");
const format = @import("format.zig");
const row_set = @import("row_set.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const Documents = @import("loose_columns.zig").Documents;
const Filter = @import("filter.zig").Filter;
const Image = @import("image.zig").Image;
const KnownColumns = @import("known_columns.zig").KnownColumns;
const ReadWindow = @import("read_window.zig").ReadWindow;
const Selection = @import("selection.zig").Selection;

const CollectionState = collection_state.CollectionState;
const Error = errors.Error;
const SegmentState = collection_state.SegmentState;
const Verdict = filter_columns.Verdict;

pub const RowFilter = struct {
    gpa: std.mem.Allocator,
    filter: *const Filter,
    state: *const CollectionState,
    reader: rows.RowReader,
    /// Documents that were read because the columns did not know.
    documents_read: u64 = 0,
    /// Of columns and documents.
    bytes_read: u64 = 0,
    document: std.ArrayList(u8) = .empty,
    /// Of rows that have no columns in the file.
    documents: ?*Documents = null,
    window: ?*ReadWindow = null,
    /// Chunks of the image that columns were read from.
    mapped_chunks: u64 = 0,

    pub fn deinit(row_filter: *RowFilter) void {
        row_filter.document.deinit(row_filter.gpa);
        if (row_filter.documents) |documents| {
            documents.deinit(row_filter.gpa);
            row_filter.gpa.destroy(documents);
        }
        if (row_filter.window) |window| row_filter.gpa.destroy(window);
        row_filter.* = undefined;
    }

    /// Leaves of the rows from `first`, a multiple of 256, up to `end`, another one or the last,
    /// only those in `selection` that match.
    pub fn narrow(
        row_filter: *RowFilter,
        segment: *SegmentState,
        selection: *Selection,
        first: u32,
        end: u32,
    ) Error!void {
        const columned = segment.disk.columnedRows();
        if (first == 0 and isMapped(segment)) row_filter.countChunks(segment);
        var row = first;
        while (row < end) : (row += format.column_block_rows) {
            const selected = selection.columnBlock(row);
            if (row_set.isEmpty(selected.*)) continue;
            if (row >= columned) {
                try row_filter.narrowLoose(segment, row, selected);
                continue;
            }
            row_filter.fetchLater(segment, row);
            var verdict = try row_filter.askColumns(segment, row);
            forgetStale(segment, row, &verdict);
            try row_filter.decide(segment, row, &verdict, selected, null);
        }
    }

    /// Rows of which the file has no columns.
    fn narrowLoose(
        row_filter: *RowFilter,
        segment: *SegmentState,
        row: u32,
        selected: *row_set.Rows,
    ) Error!void {
        const is_amended = segment.amendments.blockOf(row) != null;
        if (is_amended) return row_filter.decide(segment, row, &.unknown, selected, null);
        const loose = &segment.verified.columns.loose;
        const verdict = loose.evaluate(row_filter.filter, row);
        const is_known = row_set.isEmpty(@as(row_set.Words, selected.*) & verdict.maybe);
        if (is_known or !loose.ask(segment.disk.rows)) {
            return row_filter.decide(segment, row, &verdict, selected, null);
        }
        const rows_there = selected.*;
        const documents = try row_filter.documentsOf();
        documents.clear();
        try row_filter.decide(segment, row, &.unknown, selected, documents);
        loose.build(row_filter.gpa, row, &rows_there, documents) catch
            return row_filter.outOfMemory();
    }

    /// Leaves in `selected` what matches: documents are asked where the verdict does not tell, and
    /// kept in `documents`.
    fn decide(
        row_filter: *RowFilter,
        segment: *SegmentState,
        first: u32,
        verdict: *const Verdict,
        selected: *row_set.Rows,
        documents: ?*Documents,
    ) Error!void {
        const wanted: row_set.Words = selected.*;
        selected.* = wanted & verdict.yes;
        const open: row_set.Rows = wanted & verdict.maybe;
        var left = row_set.iterate(&open);
        while (left.next()) |index| {
            if (try row_filter.askDocument(segment, first + index)) row_set.insert(selected, index);
            if (documents) |kept| kept.add(row_filter.gpa, row_filter.document.items) catch
                return row_filter.outOfMemory();
        }
    }

    fn countChunks(row_filter: *RowFilter, segment: *const SegmentState) void {
        for (segment.disk.heap[0..segment.disk.heap_count]) |extent| {
            const start = format.pageOffset(extent.page);
            row_filter.mapped_chunks += Image.chunksUnder(start, extent.used_bytes);
        }
    }

    /// Columns know nothing of rows that were amended after they were made.
    fn forgetStale(segment: *const SegmentState, row: u32, verdict: *Verdict) void {
        const block = segment.amendments.blockOf(row) orelse return;
        for (block.stale, &verdict.yes, &verdict.maybe) |stale, *yes, *maybe| {
            yes.* &= ~stale;
            maybe.* |= stale;
        }
    }

    fn askDocument(row_filter: *RowFilter, segment: *SegmentState, row: u32) Error!bool {
        const window = try row_filter.windowOf();
        var reader = row_filter.reader;
        reader.window = window;
        const state = row_filter.state;
        const record = try reader.record(state, segment, row);
        var field: expiry.Field = undefined;
        const behind = expiry.fieldOf(&field, record.expiry_ms);
        const metadata_bytes = record.metadata_bytes;
        row_filter.document.resize(row_filter.gpa, metadata_bytes + behind.len) catch
            return row_filter.outOfMemory();
        const document = row_filter.document.items;
        try reader.metadata(state, segment, row, record, document[0..metadata_bytes]);
        @memcpy(document[metadata_bytes..], behind);
        row_filter.documents_read += 1;
        row_filter.bytes_read += @sizeOf(format.Record) + record.key.len + record.metadata_bytes;
        return row_filter.filter.matches(document) catch reader.diagnostics.fail(
            error.Corrupt,
            "the metadata at offset {d} cannot be as it says; the file is damaged, restore a " ++
                "backup or salvage() it",
            .{record.metadata_offset},
        );
    }

    fn documentsOf(row_filter: *RowFilter) Error!*Documents {
        if (row_filter.documents) |documents| return documents;
        const documents = row_filter.gpa.create(Documents) catch return row_filter.outOfMemory();
        documents.* = .{};
        row_filter.documents = documents;
        return documents;
    }

    fn windowOf(row_filter: *RowFilter) Error!*ReadWindow {
        if (row_filter.window) |window| return window;
        const window = row_filter.gpa.create(ReadWindow) catch return row_filter.outOfMemory();
        window.* = .{};
        row_filter.window = window;
        return window;
    }

    /// Of the block of columns that begins with the row.
    fn askColumns(row_filter: *RowFilter, segment: *SegmentState, row: u32) Error!Verdict {
        const known = segment.verified.columns.at(row_filter.gpa, &segment.disk, row) catch
            return row_filter.outOfMemory();
        const entry = try row_filter.entryOf(segment, row, known) orelse return .unknown;
        row_filter.bytes_read += @sizeOf(format.ColumnEntry) + entry.bytes;
        switch (entry.kind) {
            .none => return row_filter.askNothing(),
            .block => {},
            else => return .unknown,
        }
        const image = row_filter.reader.image;
        const is_mapped = isMapped(segment) or entry.bytes > copied_bytes_max;
        if (is_mapped or image.always_mapped) {
            if (image.scan(entry.offset, entry.bytes)) |bytes| {
                const verdict = row_filter.judge(segment, row, &entry, known, bytes);
                if (image.isWhole(entry.offset)) return verdict;
            }
        }
        if (!known.isWhole(&entry) or known.copy.len != entry.bytes) {
            const room = known.room(row_filter.gpa, entry.bytes) catch
                return row_filter.outOfMemory();
            errdefer known.drop(row_filter.gpa);
            try row_filter.reader.bytes(entry.offset, room);
        }
        defer if (is_mapped) known.drop(row_filter.gpa);
        return row_filter.judge(segment, row, &entry, known, known.copy);
    }

    /// Columns that will be asked after the next ones are on their way from memory meanwhile.
    fn fetchLater(row_filter: *RowFilter, segment: *SegmentState, row: u32) void {
        const blocks = segment.verified.columns.blocks;
        const stages = [_]column_block.Stage{ .values, .directory, .header };
        for (stages, row / segment.disk.column_rows + 1..) |stage, number| {
            if (number >= blocks.len) return;
            const bytes = row_filter.bytesInMemory(&blocks[number]) orelse continue;
            for (row_filter.filter.guesses) |guess| column_block.fetch(bytes, stage, guess);
        }
    }

    fn bytesInMemory(row_filter: *RowFilter, known: *const KnownColumns.Block) ?[]const u8 {
        if (known.copy.len > 0) return known.copy;
        const entry = known.entry orelse return null;
        return row_filter.reader.image.hot(entry.offset, entry.bytes);
    }

    fn entryOf(
        row_filter: *RowFilter,
        segment: *SegmentState,
        row: u32,
        known: *KnownColumns.Block,
    ) Error!?format.ColumnEntry {
        const is_amended = segment.amendments.columnsOf(row) != null;
        if (!is_amended) if (known.entry) |entry| return entry;
        const entry = try column_reader.entryAt(row_filter.reader, row_filter.state, segment, row);
        // What is known is shared with states that have an earlier one.
        if (!is_amended) known.entry = entry;
        return entry;
    }

    /// A map of few blocks would hold a multiple of them in memory, so these are copied.
    fn isMapped(segment: *const SegmentState) bool {
        return segment.disk.capacity > copied_rows_max;
    }
    const copied_rows_max = 2048;
    /// Of one block, so that documents with hundreds of fields do not fill the memory.
    const copied_bytes_max = 32 * 1024;

    /// All rows of a block without metadata are alike.
    fn askNothing(row_filter: *RowFilter) Verdict {
        // There is nothing in it that could be malformed.
        const matches = row_filter.filter.matches(&.{}) catch unreachable;
        return .{
            .yes = if (matches) @splat(std.math.maxInt(u64)) else row_set.none,
            .maybe = row_set.none,
        };
    }

    fn judge(
        row_filter: *RowFilter,
        segment: *SegmentState,
        row: u32,
        entry: *const format.ColumnEntry,
        known: *KnownColumns.Block,
        bytes: []const u8,
    ) Verdict {
        if (!known.isWhole(entry)) {
            const seed = row_filter.state.seedOf(segment, row);
            if (checksum.bytes(seed, bytes) != entry.block_checksum) return .unknown;
            known.remember(entry);
        }
        const block = column_block.Block.open(bytes, segment.disk.columnBlockRows(row)) catch
            return .unknown;
        return filter_columns.evaluate(row_filter.filter, &block);
    }

    fn outOfMemory(row_filter: *RowFilter) Error {
        return row_filter.reader.diagnostics.failOs(error.OutOfMemory, "filtering");
    }
};
