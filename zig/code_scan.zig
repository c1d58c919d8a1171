//! The scan of codes: estimates reject nearly all rows, and the few that may be among the best are
//! scored by their vectors. So every score that comes out is exact; what may be lost, with the
//! probability of `codes.Query`, is a row whose estimate is wrong by more than its bound.
//!
//! Codes that are damaged cost time and nothing else: their rows are looked at themselves.

const std = @import("std");
const codes = @import("codes.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const candidates = @import("candidates.zig");
const collection_state = @import("collection_state.zig");
const search_query = @import("search_query.zig");
const Candidates = candidates.Candidates;
const CodeReader = @import("code_reader.zig").CodeReader;
const CodeUnit = @import("code_unit.zig").CodeUnit;
const CodeWorth = @import("code_worth.zig").CodeWorth;
const Crew = @import("os/crew.zig").Crew;
const ExactScan = @import("exact_scan.zig").ExactScan;
const Looker = @import("look.zig").Looker;
const SearchCost = @import("search_cost.zig").SearchCost;
const Selection = @import("selection.zig").Selection;

const Error = errors.Error;
const SegmentState = collection_state.SegmentState;
const Query = search_query.Query;
const Request = search_query.Request;
const block_rows = format.code_block_rows;

pub const CodeScan = struct {
    request: *const Request,
    exact: *ExactScan,
    queries: []Query,
    prepared: []Prepared,
    cost: SearchCost,
    /// Rows that are scanned before codes are judged: among them are as many wanted ones as there
    /// are in a unit where all are. Before, nobody knows yet what a row has to reach.
    judged_first: u64,
    code_dimension: u32,
    reader: CodeReader,
    rotation: codes.Rotation,
    /// The centre that the queries are prepared for.
    centre_bytes: []align(@alignOf(f32)) u8,
    has_centre: bool = false,
    scratch: []f32,
    looker: Looker,
    crew: *const Crew,
    units: []CodeUnit,

    /// While a query has not found k rows yet, which reject the others.
    const unit_rows_first = 64;
    /// With several threads: fewer are done before all are there, more have a limit that is old.
    const units_per_lane = 8;

    const Prepared = struct {
        /// The query after the rotation.
        rotated: []f32,
        planes: []align(64) u64,
        tables: []align(64) u8,
        head_tables: []align(64) u8,
        codes: codes.Query = undefined,
        candidates: Candidates,
        worth: CodeWorth = .{},
        /// When so many were scanned, the best candidates are looked at.
        sharpened_at: u64 = unit_rows_first,
    };

    pub fn init(
        request: *const Request,
        queries: []Query,
        exact: *ExactScan,
        crew: *const Crew,
        cost: SearchCost,
    ) Error!CodeScan {
        const code_dimension = codes.dimensionFor(request.state.identity.dimension);
        var scan: CodeScan = .{
            .request = request,
            .exact = exact,
            .queries = queries,
            .prepared = &.{},
            .cost = cost,
            .judged_first = cost.rowsWith(CodeUnit.rows_max),
            .code_dimension = code_dimension,
            .reader = .{
                .request = request,
                .block_bytes = @intCast(format.codeBlockBytes(code_dimension)),
            },
            .rotation = undefined,
            .centre_bytes = &.{},
            .scratch = &.{},
            .looker = try .init(request),
            .crew = crew,
            .units = &.{},
        };
        scan.allocate() catch return request.outOfMemory();
        const dimension = request.state.identity.dimension;
        for (queries, scan.prepared, 0..) |*query, *prepared, i| {
            const values = request.queries[i * dimension ..][0..dimension];
            const scale = codes.scaleOf(request.metric(), query.scorer.inverse_query_norm);
            scan.rotation.apply(values, scale, prepared.rotated);
        }
        return scan;
    }

    fn allocate(scan: *CodeScan) error{OutOfMemory}!void {
        const arena = scan.request.memory.allocator();
        const length = scan.code_dimension;
        const centre_bytes: usize = @intCast(format.codeCentreBytes(length));
        scan.prepared = try arena.alloc(Prepared, scan.queries.len);
        scan.rotation = try .init(arena, length);
        scan.centre_bytes = try arena.alignedAlloc(u8, .of(f32), centre_bytes);
        scan.scratch = try arena.alloc(f32, length);
        const lanes = scan.crew.lanes();
        scan.units = try arena.alloc(CodeUnit, if (lanes > 1) lanes * units_per_lane else 1);
        const planes = kernels.query_planes * kernels.planeWords(length);
        for (scan.prepared) |*prepared| prepared.* = .{
            .rotated = try arena.alloc(f32, length),
            .planes = try arena.alignedAlloc(u64, .@"64", planes),
            .tables = try arena.alignedAlloc(u8, .@"64", kernels.blockBytes(length)),
            .head_tables = try arena.alignedAlloc(u8, .@"64", codes.Query.headBytes(length)),
            .candidates = try .init(arena),
        };
    }

    pub const Scanned = struct {
        /// The queries that use codes are done with the rows before.
        end: u32,
        /// Whether the rows from there on have codes that are of use.
        goes_on: bool = false,
    };

    /// Scans the codes of the rows from `start`, a multiple of 32, up to `end`, or until many
    /// vectors were looked at.
    pub fn rows(
        scan: *CodeScan,
        from: *SegmentState,
        selection: *const Selection,
        start: u32,
        end: u32,
    ) Error!Scanned {
        const coded = from.disk.codedRows();
        if (start >= coded or from.disk.code_dimension != scan.code_dimension) {
            return .{ .end = start };
        }
        var is_used = false;
        for (scan.queries, scan.prepared) |*query, *prepared| {
            if (query.uses_codes) query.uses_codes = scan.isWorthwhile(prepared);
            is_used = is_used or query.uses_codes;
        }
        if (!is_used or !try scan.prepare(from)) return .{ .end = start };
        const report = scan.request.report;
        const looks_before = report.reranked;
        const stop = @min(coded, end);
        var first = start;
        while (first < stop) {
            if (report.reranked - looks_before > looks_at_once) {
                return .{ .end = first, .goes_on = true };
            }
            const run_first = nextBlock(selection, first, stop);
            for (scan.prepared) |*prepared| prepared.worth.passed += run_first - first;
            first = run_first;
            if (first == stop) break;
            const run_end = lastBlock(selection, first, stop);
            const count: u32 = @intCast(@min(scan.rowsAtOnce(), run_end - first));
            const blocks = try scan.reader.blocksAt(from, first / block_rows, count / block_rows);
            report.bytes_read += blocks.bytes.len;
            try scan.run(from, selection, first, blocks.bytes);
            if (blocks.mapped_at) |offset| try scan.request.reader.confirm(offset);
            first += count;
        }
        return .{ .end = stop };
    }
    /// They take about as long as a step's codes.
    const looks_at_once = 512;

    /// Makes the queries ready for the segment's centre; false where that is damaged.
    fn prepare(scan: *CodeScan, from: *SegmentState) Error!bool {
        const verified = from.verified;
        if (scan.has_centre) {
            if (verified.centre_id == codes.centreId(scan.centre_bytes)) return true;
        }
        scan.has_centre = false;
        if (!try scan.reader.centre(from, scan.centre_bytes)) return false;
        verified.centre_id = codes.centreId(scan.centre_bytes);
        const centre = std.mem.bytesAsSlice(f32, scan.centre_bytes)[0..scan.code_dimension];
        for (scan.queries, scan.prepared) |*query, *prepared| {
            const prepared_codes = codes.Query.init(
                scan.request.metric(),
                prepared.rotated,
                centre,
                scan.scratch,
                prepared.planes,
                prepared.tables,
                prepared.head_tables,
            );
            if (prepared_codes) |found| prepared.codes = found else query.uses_codes = false;
        }
        scan.has_centre = true;
        return true;
    }

    /// Scans blocks that are whole, and the vectors behind those that are not.
    fn run(
        scan: *CodeScan,
        from: *SegmentState,
        selection: *const Selection,
        first: u32,
        bytes: []const u8,
    ) Error!void {
        var start: usize = 0;
        var start_row = first;
        var at: usize = 0;
        var row = first;
        while (at < bytes.len) : ({
            at += scan.reader.block_bytes;
            row += block_rows;
        }) {
            if (scan.reader.isWhole(from, row, bytes[at..][0..scan.reader.block_bytes])) continue;
            try scan.blocksOf(from, selection, start_row, bytes[start..at]);
            try scan.exact.rows(from, selection, row, row + block_rows, .with_codes);
            start = at + scan.reader.block_bytes;
            start_row = row + block_rows;
        }
        try scan.blocksOf(from, selection, start_row, bytes[start..]);
    }

    fn rowsAtOnce(scan: *const CodeScan) usize {
        return scan.units.len * CodeUnit.rows_max;
    }

    fn blocksOf(
        scan: *CodeScan,
        from: *SegmentState,
        selection: *const Selection,
        first: u32,
        bytes: []const u8,
    ) Error!void {
        if (bytes.len == 0) return;
        for (scan.queries, scan.prepared) |*query, *prepared| {
            if (query.uses_codes) try scan.estimate(from, selection, first, bytes, query, prepared);
        }
    }

    fn estimate(
        scan: *CodeScan,
        from: *SegmentState,
        selection: *const Selection,
        first: u32,
        bytes: []const u8,
        query: *Query,
        prepared: *Prepared,
    ) Error!void {
        const count: u32 = @intCast(bytes.len / scan.reader.block_bytes * block_rows);
        scan.request.report.codes_scanned += count;
        var at: u32 = 0;
        while (at < count) {
            const is_full = query.collector.count == query.collector.heap.len;
            const rows_max = if (is_full) scan.rowsAtOnce() else unit_rows_first;
            const part: u32 = @intCast(@min(rows_max, count - at));
            const blocks = bytes[at / block_rows * scan.reader.block_bytes ..];
            const wanted = selection.blocksFrom(first + at);
            const units = scan.divide(blocks, part, wanted, query, prepared);
            scan.crew.forEach(units.len, units.ptr, CodeUnit.estimate);
            for (units, 0..) |*unit, i| {
                const unit_first = first + at + @as(u32, @intCast(i)) * CodeUnit.rows_max;
                try scan.admit(from, unit_first, unit, query, prepared);
            }
            at += part;
            if (prepared.worth.scanned + at >= prepared.sharpened_at) {
                prepared.sharpened_at = 2 * (prepared.worth.scanned + at);
                try scan.settle(query, prepared, .best);
            }
        }
        prepared.worth.scanned += count;
        prepared.worth.passed += count;
    }

    fn divide(
        scan: *CodeScan,
        blocks: []const u8,
        count: u32,
        wanted: [*]const u32,
        query: *const Query,
        prepared: *Prepared,
    ) []CodeUnit {
        const unit_rows = CodeUnit.rows_max;
        const least = candidates.limitOf(query, &prepared.codes.kernel);
        const units = scan.units[0 .. (count + unit_rows - 1) / unit_rows];
        for (units, 0..) |*unit, i| {
            const start = i * unit_rows;
            unit.set(
                prepared.codes.forKernel(),
                least,
                blocks[start / block_rows * scan.reader.block_bytes ..],
                @intCast(@min(unit_rows, count - start)),
                scan.code_dimension,
                wanted + start / block_rows,
            );
        }
        return units;
    }

    /// What the unit found becomes candidates.
    fn admit(
        scan: *CodeScan,
        from: *SegmentState,
        first: u32,
        unit: *const CodeUnit,
        query: *Query,
        prepared: *Prepared,
    ) Error!void {
        for (unit.found[0..unit.count], unit.estimates[0..unit.count]) |index, estimated| {
            if (prepared.candidates.isFull()) try scan.settle(query, prepared, .all);
            prepared.candidates.add(.{
                .from = from,
                .row = first + index,
                .estimate = estimated,
                .bound = unit.bound(index, estimated),
            });
        }
    }

    /// What is left for one of the queries when all codes were scanned.
    pub fn finish(scan: *CodeScan, number: usize) Error!void {
        try scan.settle(&scan.queries[number], &scan.prepared[number], .all);
    }

    fn settle(
        scan: *CodeScan,
        query: *Query,
        prepared: *Prepared,
        which: Candidates.Which,
    ) Error!void {
        const kernel = &prepared.codes.kernel;
        try prepared.candidates.settle(&scan.looker, query, kernel, which);
    }

    fn isWorthwhile(scan: *const CodeScan, prepared: *Prepared) bool {
        const looks = prepared.candidates.looked_at + prepared.candidates.count;
        return prepared.worth.isWorthwhile(&scan.cost, scan.judged_first, looks);
    }
};

/// The first block from `first` on that has a selected row; `stop` where there is none.
fn nextBlock(selection: *const Selection, first: u32, stop: u32) u32 {
    var row = first;
    while (row < stop and !selection.hasAny(row)) row += block_rows;
    return row;
}

/// Behind the blocks from `first` on that are scanned in one go: a few without a selected row cost
/// less than starting again.
fn lastBlock(selection: *const Selection, first: u32, stop: u32) u32 {
    var end = first + block_rows;
    var row = end;
    while (row < stop and row - end <= gap_rows_max) : (row += block_rows) {
        if (selection.hasAny(row)) end = row + block_rows;
    }
    return end;
}
const gap_rows_max = 4 * block_rows;
