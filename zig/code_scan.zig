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
const collection_state = @import("collection_state.zig");
const search_query = @import("search_query.zig");
const Crew = @import("os/crew.zig").Crew;
const ExactScan = @import("exact_scan.zig").ExactScan;
const Image = @import("image.zig").Image;
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
    block_bytes: usize,
    rotation: codes.Rotation,
    /// The centre that the queries are prepared for.
    centre_bytes: []align(@alignOf(f32)) u8,
    has_centre: bool = false,
    scratch: []f32,
    looker: Looker,
    /// Takes blocks that are not read through a map.
    blocks: []align(64) u8 = &.{},
    /// Chunks of the image that codes were read from.
    code_chunks: u64 = 0,
    crew: *const Crew,
    units: []Unit,

    /// What is estimated against one limit.
    const Unit = struct {
        rows: kernels.CodeRows,
        limit: f32,
        query: *const kernels.CodeQuery,
        count: usize,
        found: [unit_rows]u32,
        estimates: [unit_rows]f32,

        fn estimate(units: [*]Unit, number: usize) void {
            const unit = &units[number];
            unit.count = kernels.active().estimateBlocks(
                unit.query,
                &unit.rows,
                unit.limit,
                &unit.found,
                &unit.estimates,
            );
        }
    };

    const unit_rows = 1024;
    /// While a query has not found k rows yet, which reject the others.
    const unit_rows_first = 64;
    /// With several threads: fewer are done before all are there, more have a limit that is old.
    const units_per_lane = 8;
    /// Beyond this the best of them are looked at, and reject others.
    const candidates_max = 512;
    const mapped_bytes_min = 256 * 1024;
    /// Of one segment. What grows may be copied first, and mapped when it is more.
    const copied_bytes_max = 512 * 1024;

    const Prepared = struct {
        /// The query after the rotation.
        rotated: []f32,
        planes: []align(64) u64,
        tables: []align(64) u8,
        head_tables: []align(64) u8,
        codes: codes.Query = undefined,
        /// Rows that may be among the best, and have not been looked at.
        candidates: []Candidate,
        count: usize = 0,
        /// Rows with codes that were scanned, with those that were left out because no row of their
        /// blocks is selected, and those that were looked at.
        scanned: u64 = 0,
        passed: u64 = 0,
        looked_at: u64 = 0,
        /// What both, with the candidates, were when codes were last found worthwhile.
        judged_scanned: u64 = 0,
        judged_passed: u64 = 0,
        judged_looks: u64 = 0,
        /// When so many were scanned, the best candidates are looked at.
        sharpened_at: u64 = unit_rows_first,

        fn isFull(prepared: *const Prepared) bool {
            return prepared.count == prepared.candidates.len;
        }
    };

    const Candidate = struct {
        from: *SegmentState,
        row: u32,
        estimate: f32,
        /// The score is hardly above it, as the kernels count.
        bound: f32,

        fn isBetter(_: void, a: Candidate, b: Candidate) bool {
            return a.estimate > b.estimate;
        }
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
            .judged_first = cost.rowsWith(unit_rows),
            .code_dimension = code_dimension,
            .block_bytes = @intCast(format.codeBlockBytes(code_dimension)),
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
        scan.units = try arena.alloc(Unit, if (lanes > 1) lanes * units_per_lane else 1);
        const planes = kernels.query_planes * kernels.planeWords(length);
        for (scan.prepared) |*prepared| prepared.* = .{
            .rotated = try arena.alloc(f32, length),
            .planes = try arena.alignedAlloc(u64, .@"64", planes),
            .tables = try arena.alignedAlloc(u8, .@"64", kernels.blockBytes(length)),
            .head_tables = try arena.alignedAlloc(u8, .@"64", codes.Query.headBytes(length)),
            .candidates = try arena.alloc(Candidate, candidates_max),
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
            for (scan.prepared) |*prepared| prepared.passed += run_first - first;
            first = run_first;
            if (first == stop) break;
            const run_end = lastBlock(selection, first, stop);
            const count: u32 = @intCast(@min(scan.units.len * unit_rows, run_end - first));
            const blocks = try scan.blocksAt(from, first / block_rows, count / block_rows);
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
        const state = scan.request.state;
        const offset = from.disk.codesOffset(state.identity.dimension);
        scan.has_centre = false;
        try scan.request.reader.bytes(offset, scan.centre_bytes);
        if (!codes.isWhole(state.seedOf(from, 0), scan.centre_bytes)) return false;
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

    /// Blocks of codes, through a map where they are many. A map of few would hold a multiple of
    /// them in memory: these are copied once, and the copies stay with what else is known of the
    /// segment.
    fn blocksAt(scan: *CodeScan, from: *SegmentState, first: u32, count: u32) Error!Blocks {
        const block_bytes = scan.block_bytes;
        const dimension = scan.request.state.identity.dimension;
        const offset = from.disk.blockOffset(first, dimension);
        const len = count * block_bytes;
        if (scan.isMapped(from)) if (scan.request.reader.image.scan(offset, len)) |bytes| {
            if (first == 0) scan.code_chunks += Image.chunksUnder(offset, scan.codedBytes(from));
            from.verified.dropCopy(scan.request.gpa);
            return .{ .bytes = bytes, .mapped_at = offset };
        };
        if (scan.copyOf(from)) |copy| {
            const copied = from.verified.copied_blocks;
            const end = first + count;
            if (end > copied) {
                const place = from.disk.blockOffset(copied, dimension);
                const missing = copy[copied * block_bytes .. end * block_bytes];
                try scan.request.glancing().bytes(place, missing);
                from.verified.copied_blocks = end;
            }
            return .{ .bytes = copy[first * block_bytes ..][0..len] };
        }
        if (scan.blocks.len < len) {
            scan.blocks = scan.request.memory.allocator().alignedAlloc(u8, .@"64", len) catch
                return scan.request.outOfMemory();
        }
        try scan.request.glancing().bytes(offset, scan.blocks[0..len]);
        return .{ .bytes = scan.blocks[0..len] };
    }

    const Blocks = struct {
        bytes: []const u8,
        /// Where they come through a map, and must not be believed before it is confirmed.
        mapped_at: ?u64 = null,
    };

    fn isMapped(scan: *const CodeScan, from: *const SegmentState) bool {
        const is_large = scan.codedBytes(from) >= mapped_bytes_min;
        return is_large or scan.request.reader.image.always_mapped;
    }

    fn codedBytes(scan: *const CodeScan, from: *const SegmentState) usize {
        return from.disk.codedRows() / block_rows * scan.block_bytes;
    }

    /// Room for the copies of all blocks that the segment can have; null where they are many, or
    /// memory is scarce.
    fn copyOf(scan: *CodeScan, from: *SegmentState) ?[]align(64) u8 {
        const verified = from.verified;
        if (verified.copy.len > 0) return verified.copy;
        const bytes = from.disk.capacity / block_rows * scan.block_bytes;
        if (bytes > copied_bytes_max) return null;
        verified.copy = scan.request.gpa.alignedAlloc(u8, .@"64", bytes) catch return null;
        return verified.copy;
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
            at += scan.block_bytes;
            row += block_rows;
        }) {
            if (scan.isBlockWhole(from, row, bytes[at..][0..scan.block_bytes])) continue;
            try scan.blocksOf(from, selection, start_row, bytes[start..at]);
            try scan.exact.rows(from, selection, row, row + block_rows, .with_codes);
            start = at + scan.block_bytes;
            start_row = row + block_rows;
        }
        try scan.blocksOf(from, selection, start_row, bytes[start..]);
    }

    fn isBlockWhole(scan: *CodeScan, from: *SegmentState, row: u32, bytes: []const u8) bool {
        const verified = &from.verified.blocks;
        if (verified.isSet(row / block_rows)) return true;
        if (!codes.isWhole(scan.request.state.seedOf(from, row), bytes)) {
            // The next search asks the file again.
            from.verified.forgetCopies(row / block_rows);
            return false;
        }
        verified.set(row / block_rows);
        return true;
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
        const count: u32 = @intCast(bytes.len / scan.block_bytes * block_rows);
        scan.request.report.codes_scanned += count;
        var at: u32 = 0;
        while (at < count) {
            const is_full = query.collector.count == query.collector.heap.len;
            const rows_max = if (is_full) scan.units.len * unit_rows else unit_rows_first;
            const part: u32 = @intCast(@min(rows_max, count - at));
            const blocks = bytes[at / block_rows * scan.block_bytes ..];
            const least = limit(query, &prepared.codes.kernel);
            const units = scan.divide(blocks, part, least, selection.blocksFrom(first + at));
            for (units) |*unit| unit.query = prepared.codes.forKernel();
            scan.crew.forEach(units.len, units.ptr, Unit.estimate);
            for (units, 0..) |*unit, i| {
                const unit_first = first + at + @as(u32, @intCast(i)) * unit_rows;
                try scan.admit(from, unit_first, unit, query, prepared);
            }
            at += part;
            if (prepared.scanned + at >= prepared.sharpened_at) {
                prepared.sharpened_at = 2 * (prepared.scanned + at);
                try scan.settle(query, prepared, .best);
            }
        }
        prepared.scanned += count;
        prepared.passed += count;
    }

    fn divide(
        scan: *CodeScan,
        blocks: []const u8,
        count: u32,
        least: f32,
        wanted: [*]const u32,
    ) []Unit {
        const units = scan.units[0 .. (count + unit_rows - 1) / unit_rows];
        for (units, 0..) |*unit, i| {
            const start = i * unit_rows;
            unit.limit = least;
            unit.rows = rowsOf(
                blocks[start / block_rows * scan.block_bytes ..],
                @intCast(@min(unit_rows, count - start)),
                scan.code_dimension,
            );
            unit.rows.wanted = wanted + start / block_rows;
        }
        return units;
    }

    /// What the unit found becomes candidates.
    fn admit(
        scan: *CodeScan,
        from: *SegmentState,
        first: u32,
        unit: *const Unit,
        query: *Query,
        prepared: *Prepared,
    ) Error!void {
        for (unit.found[0..unit.count], unit.estimates[0..unit.count]) |index, estimated| {
            const row = first + index;
            if (prepared.isFull()) try scan.settle(query, prepared, .all);
            const place = index / block_rows * unit.rows.factor_stride + index % block_rows;
            prepared.candidates[prepared.count] = .{
                .from = from,
                .row = row,
                .estimate = estimated,
                .bound = estimated + unit.rows.deviations[place] * unit.query.slack,
            };
            prepared.count += 1;
        }
    }

    /// What is left for one of the queries when all codes were scanned.
    pub fn finish(scan: *CodeScan, number: usize) Error!void {
        try scan.settle(&scan.queries[number], &scan.prepared[number], .all);
    }

    /// Looks at candidates, the best first: each that is found rejects others. `best` leaves those
    /// whose estimates are not among the k best for later, when fewer of them may be left.
    fn settle(
        scan: *CodeScan,
        query: *Query,
        prepared: *Prepared,
        which: enum { best, all },
    ) Error!void {
        const candidates = prepared.candidates[0..prepared.count];
        std.sort.pdq(Candidate, candidates, {}, Candidate.isBetter);
        var left: usize = 0;
        for (candidates, 1..) |candidate, next| {
            if (next < candidates.len) {
                scan.looker.announce(candidates[next].from, candidates[next].row);
            }
            const least = limit(query, &prepared.codes.kernel);
            if (candidate.bound < least) continue;
            if (which == .best and candidate.estimate < least) {
                candidates[left] = candidate;
                left += 1;
                continue;
            }
            prepared.looked_at += 1;
            try scan.look(candidate.from, candidate.row, query);
        }
        prepared.count = left;
    }

    fn look(
        scan: *CodeScan,
        from: *SegmentState,
        row: u32,
        query: *Query,
    ) Error!void {
        scan.request.report.reranked += 1;
        try scan.looker.read(from, row);
        try scan.looker.offer(from, row, query);
    }

    /// Data that codes poorly, and a query that is near to everything, are compared in order: each
    /// time that twice as many codes were scanned, the newer half has to have saved more than the
    /// vectors took that it left.
    fn isWorthwhile(scan: *const CodeScan, prepared: *Prepared) bool {
        if (prepared.scanned < @max(scan.judged_first, 2 * prepared.judged_scanned)) return true;
        const scanned = prepared.scanned - prepared.judged_scanned;
        const passed = prepared.passed - prepared.judged_passed;
        const looks = prepared.looked_at + prepared.count -| prepared.judged_looks;
        // The first rows are looked at to find out what the others have to reach.
        const is_first = prepared.judged_scanned == 0;
        prepared.judged_scanned += scanned;
        prepared.judged_passed += passed;
        prepared.judged_looks += looks;
        return is_first or scan.cost.saves(passed, scanned, looks);
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

/// The score that a row has to reach, as the kernels count: larger is better. A little less, for
/// their rounding.
fn limit(query: *const Query, kernel: *const kernels.CodeQuery) f32 {
    const scorer = &query.scorer;
    const worst = query.collector.worst();
    const least = switch (scorer.metric) {
        .l2 => l2: {
            const threshold = scorer.threshold orelse std.math.inf(f32);
            const distance = @min(worst, threshold);
            break :l2 -distance * distance;
        },
        .cosine, .dot => @max(worst, scorer.threshold orelse -std.math.inf(f32)),
    };
    if (!std.math.isFinite(least)) return -std.math.inf(f32);
    return least - 1e-5 * (@abs(least) + @abs(kernel.base));
}

fn rowsOf(blocks: []const u8, count: u32, code_dimension: u32) kernels.CodeRows {
    const block_bytes: usize = @intCast(format.codeBlockBytes(code_dimension));
    const tail = blocks.ptr + block_bytes - @sizeOf(format.CodeBlockTail);
    return .{
        .codes = blocks.ptr,
        .stride_bytes = block_bytes,
        .factor_stride = block_bytes / @sizeOf(f32),
        .row_count = count,
        .dimension = code_dimension,
        .offsets = factors(tail, "offsets"),
        .scales = factors(tail, "scales"),
        .biases = factors(tail, "biases"),
        .deviations = factors(tail, "deviations"),
    };
}

fn factors(tail: [*]const u8, comptime name: []const u8) [*]const f32 {
    return @ptrCast(@alignCast(tail + @offsetOf(format.CodeBlockTail, name)));
}
