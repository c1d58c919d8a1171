//! Verification: every byte of a file is accounted for, and damage is found where it is.

const std = @import("std");
const vl = @import("vectorlite");
const scale = @import("crash_options").scale;
const tally = @import("crash/tally.zig");
const Base = @import("crash/workload.zig").Base;
const inspector = @import("crash/inspector.zig");
const format = vl.format;

const gpa = std.heap.smp_allocator;

/// What `verify()` says about the bytes of a file.
const Verdict = struct {
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    verify: *vl.Verify = undefined,

    fn of(verdict: *Verdict, bytes: []const u8) !void {
        const system = vl.backends.file.system();
        verdict.database = try vl.Database.openBytes(
            gpa,
            system,
            bytes,
            .{},
            &verdict.diagnostics,
        );
        errdefer verdict.database.close();
        verdict.verify = try vl.Verify.open(verdict.database);
        var progress: [2]f64 = undefined;
        while (try verdict.verify.step(1 << 20, &progress[0], &progress[1])) {}
        const classes = verdict.verify.ledger.bytes();
        try std.testing.expectEqual(bytes.len, classes.used + classes.free + classes.slack);
    }

    fn deinit(verdict: *Verdict) void {
        verdict.verify.close();
        verdict.database.close();
    }

    fn errors(verdict: *const Verdict) []const vl.damage.Finding {
        return verdict.verify.ledger.findings.list.items;
    }

    fn print(verdict: *const Verdict) void {
        for (verdict.errors()) |found| {
            std.debug.print("{t} at {d}: {s}\n", .{ found.kind, found.offset, found.message });
        }
        for (verdict.verify.warnings.list.items) |finding| {
            std.debug.print("warning at {d}: {s}\n", .{ finding.offset, finding.message });
        }
    }
};

test "a sound file is sound, and each of its bytes is of one class" {
    inline for (.{ Base.small, Base.fullBucket }) |make| {
        var base = try make();
        defer base.deinit();
        var verdict: Verdict = .{};
        try verdict.of(base.bytes);
        defer verdict.deinit();
        errdefer verdict.print();
        try std.testing.expectEqual(0, verdict.errors().len);
        try std.testing.expectEqual(0, verdict.verify.warnings.count);
        try std.testing.expect(verdict.verify.ledger.bytes().used > 8 * 512);
    }
}

test "a flipped bit is found exactly where bytes are used" {
    var base = try Base.small();
    defer base.deinit();
    var clean: Verdict = .{};
    try clean.of(base.bytes);
    defer clean.deinit();
    const reached = clean.verify.ledger.pages;
    var prng: std.Random.DefaultPrng = .init(1);
    const random = prng.random();
    var found: u64 = 0;
    var flips: u64 = 0;
    for (0..base.bytes.len) |offset| {
        const page = offset / format.page_bytes;
        const is_free = page >= format.first_free_page and
            (page >= reached.bit_length or !reached.isSet(page));
        if (is_free and offset % 512 > 0) continue;
        const first: u3 = if (scale > 1) 0 else random.int(u3);
        const bits: usize = if (scale > 1) 8 else 1;
        var detected: usize = 0;
        for (0..bits) |bit| {
            const before = base.bytes[offset];
            base.bytes[offset] = before ^ @as(u8, 1) << first +% @as(u3, @intCast(bit));
            defer base.bytes[offset] = before;
            var verdict: Verdict = .{};
            try verdict.of(base.bytes);
            defer verdict.deinit();
            if (verdict.errors().len > 0) detected += 1;
        }
        // Damage that is found by some bits and not by others would be luck.
        try std.testing.expect(detected == 0 or detected == bits);
        if (detected > 0) found += 1;
        flips += bits;
        if (is_free) try std.testing.expectEqual(0, detected);
    }
    tally.tell("bits that verify is asked for", .{ .flips = flips });
    try std.testing.expectEqual(clean.verify.ledger.bytes().used, found);
}

/// A file with two collections, whose bytes a test changes.
const Subject = struct {
    base: Base,
    root: format.Root,
    collection: format.CollectionPage,
    collection_page: u32,

    fn init() !Subject {
        var subject: Subject = .{
            .base = try Base.fullBucket(),
            .root = undefined,
            .collection = undefined,
            .collection_page = undefined,
        };
        const slots = inspector.readSlots(subject.base.bytes);
        subject.root = inspector.newest(&slots, null).?;
        subject.collection_page = subject.root.catalogue.page;
        subject.collection = std.mem.bytesToValue(
            format.CollectionPage,
            subject.page(subject.collection_page),
        );
        return subject;
    }

    fn deinit(subject: *Subject) void {
        subject.base.deinit();
    }

    fn page(subject: *const Subject, number: u32) *format.Page {
        const start: usize = @intCast(format.pageOffset(number));
        return subject.base.bytes[start..][0..format.page_bytes];
    }

    fn entryOffset(subject: *const Subject, row: u32) u64 {
        const growing = &subject.collection.growing;
        return format.pageOffset(growing.extent_page) +
            growing.capacity * format.vectorStride(subject.collection.dimension) + row * 32;
    }

    /// Makes the checksums above the collection's page right again, so that only its content lies.
    fn seal(subject: *Subject) void {
        const start: usize = @intCast(format.pageOffset(subject.collection_page));
        const content = subject.base.bytes[start..][0..format.page_bytes];
        content.* = std.mem.toBytes(subject.collection);
        subject.root.catalogue.checksum = std.hash.XxHash3.hash(0, content);
        vl.roots.seal(&subject.root);
        const slot = vl.roots.durableSlot(subject.root.durable_sequence);
        const at: usize = @intCast(vl.roots.slotOffset(slot));
        @memcpy(subject.base.bytes[at..][0..format.slot_bytes], std.mem.asBytes(&subject.root));
    }

    /// The same for the one bucket of its index.
    fn sealBucket(subject: *Subject) void {
        const content = subject.page(subject.collection.index.page);
        subject.collection.index.checksum = std.hash.XxHash3.hash(0, content);
        subject.seal();
    }

    fn bucket(subject: *Subject) *align(1) format.BucketPage {
        return @ptrCast(subject.page(subject.collection.index.page));
    }

    fn expect(subject: *const Subject, kind: vl.damage.Kind, offset: u64) !void {
        var verdict: Verdict = .{};
        try verdict.of(subject.base.bytes);
        defer verdict.deinit();
        errdefer verdict.print();
        for (verdict.errors()) |finding| {
            if (finding.kind == kind and finding.offset == offset) return;
        }
        return error.DamageNotFound;
    }
};

test "each damaged part is reported at its offset" {
    const Case = struct { vl.damage.Kind, u64 };
    var subject = try Subject.init();
    defer subject.deinit();
    const growing = &subject.collection.growing;
    const heap = format.pageOffset(growing.heap[0].page);
    const cases = [_]Case{
        .{ .header, 0 },
        .{ .header, format.pageOffset(format.header_copy_page) },
        .{ .slot, vl.roots.slotOffset(vl.roots.durableSlot(subject.root.durable_sequence - 1)) },
        .{ .page, format.pageOffset(subject.collection_page) },
        .{ .page, format.pageOffset(subject.collection.index.page) },
        .{ .vector, format.pageOffset(growing.extent_page) },
        .{ .row, subject.entryOffset(0) },
        .{ .record, heap },
    };
    for (cases) |case| {
        const at: usize = @intCast(case[1] + 9);
        subject.base.bytes[at] ^= 0x10;
        defer subject.base.bytes[at] ^= 0x10;
        try subject.expect(case[0], case[1]);
    }
}

test "pages that lie with a right checksum are found out" {
    const page_offset = struct {
        fn of(subject: *const Subject, comptime field: []const u8) u64 {
            return format.pageOffset(subject.collection_page) +
                @offsetOf(format.CollectionPage, field);
        }
    }.of;
    var subject = try Subject.init();
    defer subject.deinit();
    const honest = subject.collection;
    const bucket_bytes = subject.page(honest.index.page).*;
    const bucket_start = format.pageOffset(honest.index.page);
    const hashes_at = bucket_start + @offsetOf(format.BucketPage, "hashes");
    const locations_at = bucket_start + @offsetOf(format.BucketPage, "locations");

    subject.collection.live_rows += 1;
    subject.seal();
    try subject.expect(.count, page_offset(&subject, "live_rows"));
    subject.collection = honest;
    subject.collection.index_pages += 1;
    subject.seal();
    try subject.expect(.count, page_offset(&subject, "index_pages"));
    subject.collection = honest;
    subject.collection.growing.dead_rows += 1;
    subject.seal();
    try subject.expect(.count, page_offset(&subject, "growing"));
    subject.collection = honest;
    subject.collection.growing.rows = subject.collection.growing.capacity + 1;
    subject.seal();
    try subject.expect(.structure, page_offset(&subject, "growing"));
    subject.collection = honest;
    subject.collection.growing.heap[0].page = honest.growing.extent_page;
    subject.seal();
    try subject.expect(.shared, format.pageOffset(honest.growing.extent_page));
    subject.collection = honest;
    subject.collection.reserved_a[7] = 1;
    subject.seal();
    try subject.expect(.reserved, format.pageOffset(subject.collection_page));
    subject.collection = honest;

    const bucket = subject.bucket();
    exchange(&bucket.hashes);
    subject.sealBucket();
    try subject.expect(.structure, hashes_at + 8);
    subject.page(honest.index.page).* = bucket_bytes;
    exchange(&bucket.locations);
    subject.sealBucket();
    const row = format.Location.fromInt(bucket.locations[0]).row;
    const entry_at: usize = @intCast(subject.entryOffset(row));
    try subject.expect(
        .index,
        std.mem.readInt(u64, subject.base.bytes[entry_at..][0..8], .little),
    );
    subject.page(honest.index.page).* = bucket_bytes;
    bucket.locations[0] = bucket.locations[1];
    subject.sealBucket();
    try subject.expect(.index, locations_at + 8);
    subject.page(honest.index.page).* = bucket_bytes;
    bucket.locations[0] = (format.Location{ .segment = 0, .generation = 0, .row = 60_000 }).toInt();
    subject.sealBucket();
    try subject.expect(.index, locations_at);
    subject.page(honest.index.page).* = bucket_bytes;
    bucket.locations[0] = (format.Location{ .segment = 9, .generation = 0, .row = 0 }).toInt();
    subject.sealBucket();
    try subject.expect(.index, locations_at);
    subject.page(honest.index.page).* = bucket_bytes;
    const lost = format.Location.fromInt(bucket.locations[bucket.header.count - 1]);
    bucket.header.count -= 1;
    subject.sealBucket();
    try subject.expect(.index, subject.entryOffset(lost.row));
}

/// The first two.
fn exchange(numbers: *align(1) [format.bucket_capacity]u64) void {
    const first = numbers[0];
    numbers[0] = numbers[1];
    numbers[1] = first;
}

test "damage that only an older root meets is a warning" {
    var base = try Base.small();
    defer base.deinit();
    var clean: Verdict = .{};
    try clean.of(base.bytes);
    defer clean.deinit();
    const reached = clean.verify.ledger.pages;
    const slots = inspector.readSlots(base.bytes);
    const newest = inspector.newest(&slots, null).?;
    var warned: u32 = 0;
    for (slots) |maybe| {
        const root = maybe orelse continue;
        const page = root.catalogue.page;
        if (page == 0 or root.transaction_id == newest.transaction_id) continue;
        try std.testing.expect(!reached.isSet(page));
        const at: usize = @intCast(format.pageOffset(page) + 100);
        base.bytes[at] ^= 1;
        defer base.bytes[at] ^= 1;
        var verdict: Verdict = .{};
        try verdict.of(base.bytes);
        defer verdict.deinit();
        try std.testing.expectEqual(0, verdict.errors().len);
        const warnings = verdict.verify.warnings.list.items;
        try std.testing.expectEqual(format.pageOffset(page), warnings[0].offset);
        warned += 1;
    }
    try std.testing.expect(warned >= 2);
}
