//! Every magic number, structure and offset on disk, and nothing else. Frozen: docs/file-format.md
//! draws what is declared here, and the sizes are asserted below.
//!
//! Little endian, position independent: a place is a page index (4 KiB pages from the start of the
//! file) or a byte offset, never an address. Structures are read from buffers of 64-byte alignment.
//!
//!     page 0       static header, written once
//!     pages 1..4   durable root slots D0..D3, one 512-byte slot at the start of each page
//!     pages 5..6   volatile root slots V0, V1
//!     page 7       copy of the static header
//!     page 8..     index pages and extents
//!     2^62..       no content: bytes that are only ever locked

const std = @import("std");
const builtin = @import("builtin");

comptime {
    std.debug.assert(builtin.cpu.arch.endian() == .little);
}

pub const page_bytes: u32 = 4096;
pub const Page = [page_bytes]u8;
/// Where pages are held in memory, so that structures can be read in place.
pub const page_alignment = 64;

pub const header_page: u32 = 0;
pub const durable_slot_page: u32 = 1;
pub const durable_slot_count: u32 = 4;
pub const volatile_slot_page: u32 = 5;
pub const volatile_slot_count: u32 = 2;
pub const slot_count: u32 = durable_slot_count + volatile_slot_count;
pub const header_copy_page: u32 = 7;
pub const first_free_page: u32 = 8;
/// A new file is made this long, so that its first small commits extend nothing.
pub const initial_pages: u32 = 16;

/// No extent crosses a multiple of this, so that each lies in one window of the map.
pub const window_bytes: u64 = 1 << 30;
pub const window_pages: u32 = @intCast(window_bytes / page_bytes);

// Lock bytes, beyond any content. A connection locks them, nobody ever writes them.
pub const lock_base: u64 = 1 << 62;
pub const lock_writer: u64 = lock_base + 0;
pub const lock_gate: u64 = lock_base + 1;
pub const lock_exclusive: u64 = lock_base + 2;
/// Held shared by every connection whose volatile commits are not yet durable.
pub const lock_volatile: u64 = lock_base + 3;
/// A reader of transaction T holds this + T shared.
pub const lock_snapshots: u64 = lock_base + 4096;
pub const lock_snapshots_len: u64 = 1 << 61;

pub const magic = "VectorLite file\x00".*;
pub const format_major: u16 = 1;
pub const format_minor: u16 = 0;

/// Written once, when the file is made; a copy is in `header_copy_page`.
pub const Header = extern struct {
    magic: [16]u8 = magic,
    format_major: u16 = format_major,
    format_minor: u16 = format_minor,
    page_bytes: u32 = page_bytes,
    /// Unknown bits here are ignored.
    compatible_features: u32 = 0,
    /// Unknown bits here allow reading only.
    readonly_features: u32 = 0,
    /// Unknown bits here forbid opening.
    incompatible_features: u32 = 0,
    reserved_a: u32 = 0,
    uuid: [16]u8,
    /// Secret of the key hash (hash.zig).
    hash_key: [16]u8,
    created_ms: i64,
    reserved_b: [416]u8 = @splat(0),
    /// `checksum.slot` over everything before it.
    checksum: [16]u8 = @splat(0),
};

/// Points at a page and says what it must contain. Page 0 means "none".
pub const PageRef = extern struct {
    checksum: u64 = 0,
    page: u32 = 0,
    reserved: u32 = 0,

    pub const none: PageRef = .{};

    pub fn isNone(ref: PageRef) bool {
        return ref.page == 0;
    }

    /// The same page with the same content.
    pub fn eql(ref: PageRef, other: PageRef) bool {
        return ref.page == other.page and ref.checksum == other.checksum;
    }
};

pub const RootKind = enum(u32) { durable = 1, @"volatile" = 2, _ };

pub const root_magic: u64 = 0x746F6F722E6C7600 | 0x31; // "1vl.root" in memory order

/// One commit. The newest acceptable root is the state of the file.
pub const Root = extern struct {
    magic: u64 = root_magic,
    transaction_id: u64,
    /// Counts durable roots; root n lives in durable slot n mod 4.
    durable_sequence: u64,
    kind: RootKind,
    collection_count: u32,
    /// Of the machine that wrote a volatile root; it means nothing after another boot.
    boot_id: [16]u8,
    commit_ms: i64,
    /// Pages below this are in use or free; the file is at least this long.
    file_pages: u32,
    /// Slots of the catalogue's array, used or not.
    catalogue_len: u32,
    catalogue: PageRef,
    next_collection_id: u32,
    /// The low half of the id of the transaction that last began where newer states were lost.
    /// Roots in which it differs may have different rows in one place.
    last_loss: u32 = 0,
    reserved_b: [408]u8 = @splat(0),
    /// `checksum.slot` over everything before it.
    checksum: [16]u8 = @splat(0),
};

pub const slot_bytes: u32 = @sizeOf(Root);

pub const PageType = enum(u16) {
    inner = 1,
    bucket = 2,
    array = 3,
    tombstones = 4,
    collection = 5,
    segment = 6,
    amendments = 7,
    _,
};

pub const PageHeader = extern struct {
    type: PageType,
    /// Inner page of the key index: its level, 0 at the root. Bucket: hash bits that all its
    /// entries share. Array: its height above the leaves, 1 for the lowest.
    depth: u16,
    /// Bucket: its entries. Collection: see there.
    count: u32,
    /// The transaction that wrote the page.
    transaction_id: u64,
    reserved: [16]u8 = @splat(0),
};

pub const fanout = 256;

/// A page of 256 children: of the key index (by eight bits of the hash; several neighbouring
/// children may be one bucket) or of an array (by eight bits of the index).
pub const InnerPage = extern struct {
    header: PageHeader,
    pages: [fanout]u32,
    checksums: [fanout]u64,
    /// Of the key index: bit i mod 8 of byte i / 8 is set where child i is an inner page, so that
    /// the used pages are counted without reading any bucket.
    inner_children: [fanout / 8]u8,
    reserved: [960]u8 = @splat(0),

    pub fn ref(inner: *const InnerPage, index: usize) PageRef {
        return .{ .page = inner.pages[index], .checksum = inner.checksums[index] };
    }

    pub fn isInner(inner: *const InnerPage, index: usize) bool {
        return inner.inner_children[index / 8] >> @intCast(index % 8) & 1 != 0;
    }
};

pub const bucket_capacity = 254;

/// Entries sorted by hash; equal hashes may occur, the stored keys tell them apart.
pub const BucketPage = extern struct {
    header: PageHeader,
    hashes: [bucket_capacity]u64,
    locations: [bucket_capacity]u64,
};

/// Where a row is, and of which of the segments that have had this id: segment in bits 40..63, its
/// generation in bits 16..39, row in bits 0..15. So no two rows have one location, until a
/// collection has had 2^24 more segments.
pub const Location = packed struct(u64) {
    row: u16,
    generation: u24,
    segment: u24,

    pub fn of(segment: *const Segment, row: u32) Location {
        return .{
            .row = @intCast(row),
            .generation = @truncate(segment.generation),
            .segment = @intCast(segment.id),
        };
    }

    /// Names the segment among all that the collection has had.
    pub fn life(location: Location) u64 {
        return location.toInt() >> 16;
    }

    /// Rows come to a collection in this order.
    pub fn order(location: Location) u64 {
        return @as(u64, location.generation) << 16 | location.row;
    }

    pub fn toInt(location: Location) u64 {
        return @bitCast(location);
    }
    pub fn fromInt(value: u64) Location {
        return @bitCast(value);
    }
};

pub const tombstone_rows_per_page = (page_bytes - @sizeOf(PageHeader)) * 8;

/// Bit r mod 8 of byte r / 8 is set where row r of the page's block is dead.
pub const TombstonePage = extern struct {
    header: PageHeader,
    bits: [page_bytes - @sizeOf(PageHeader)]u8,
};

pub const tombstone_pages_max = 3;

pub const HeapExtent = extern struct {
    page: u32,
    page_count: u32,
    used_bytes: u32,
    reserved: u32 = 0,
};

/// A run of rows. The fixed extent holds `capacity` vectors (each `vectorStride` bytes), then
/// `capacity` row entries, then codes: the centre at `codesOffset`, and behind it a block for each
/// 32 rows, and then the entries of blocks of columns. Records and columns lie in the heap extents.
/// Rows at and above `rows` do not exist, whatever the bytes there say, and neither does a block
/// until all of its rows do.
pub const Segment = extern struct {
    id: u32,
    capacity: u32,
    rows: u32,
    dead_rows: u32,
    extent_page: u32,
    extent_page_count: u32,
    heap_count: u32,
    /// Signs of a row's code, a multiple of 64 that is no less than the dimension; 0 without codes.
    code_dimension: u32,
    tombstones: [tombstone_pages_max]PageRef,
    /// The transaction that made the segment.
    born: u64,
    /// Tells the segment from earlier ones with its id; 24 bits.
    generation: u32,
    /// Rows of a block of columns, `column_block_rows`; 0 without columns. The last block has what
    /// is left of the capacity.
    column_rows: u32,
    /// Array of amendment pages: records that took the place of the rows' own.
    amendments: PageRef,
    /// Bytes of the heap that amendments left behind: nothing leads to them any more.
    wasted_bytes: u32,
    /// `Root.last_loss` when the last heap extent was begun: in an extent of another one a state
    /// that was lost may have something behind what is used.
    heap_loss: u32,
    reserved_b: [88]u8 = @splat(0),
    heap: [64]HeapExtent,

    /// Of the centre of the codes.
    pub fn codesOffset(segment: *const Segment, dimension: u32) u64 {
        return pageOffset(segment.extent_page) + codesStart(segment.capacity, dimension);
    }

    pub fn blockOffset(segment: *const Segment, block: u32, dimension: u32) u64 {
        return segment.codesOffset(dimension) + codeCentreBytes(segment.code_dimension) +
            block * codeBlockBytes(segment.code_dimension);
    }

    /// Of the entry of a block of columns.
    pub fn columnEntryOffset(segment: *const Segment, block: u32, dimension: u32) u64 {
        return pageOffset(segment.extent_page) + block * @sizeOf(ColumnEntry) +
            columnsStart(segment.capacity, dimension, segment.code_dimension);
    }

    /// How many rows from the first on have columns.
    pub fn columnedRows(segment: *const Segment) u32 {
        if (segment.column_rows == 0) return 0;
        if (segment.rows == segment.capacity) return segment.rows;
        return segment.rows / segment.column_rows * segment.column_rows;
    }

    /// Of the block of columns whose first row it is.
    pub fn columnBlockRows(segment: *const Segment, first: u32) u32 {
        return @min(segment.column_rows, segment.capacity - first);
    }

    /// That there can be.
    pub fn columnBlocks(segment: *const Segment) u32 {
        return std.math.divCeil(u32, segment.capacity, segment.column_rows) catch 0;
    }

    /// What is used of its heap.
    pub fn heapBytes(segment: *const Segment) u64 {
        var bytes: u64 = 0;
        for (segment.heap[0..segment.heap_count]) |extent| bytes += extent.used_bytes;
        return bytes;
    }

    /// How many rows from the first on have codes.
    pub fn codedRows(segment: *const Segment) u32 {
        if (segment.code_dimension == 0) return 0;
        return segment.rows / code_block_rows * code_block_rows;
    }
};

/// Leaf of a collection's segment array.
pub const SegmentPage = extern struct {
    header: PageHeader,
    segment: Segment,
    reserved: [page_bytes - @sizeOf(PageHeader) - @sizeOf(Segment)]u8 = @splat(0),
};

/// Leaf of the catalogue's array. The segment that grows is kept here and not in the array, so that
/// a small commit writes one page less.
pub const CollectionPage = extern struct {
    header: PageHeader,
    id: u32,
    dimension: u32,
    metric: u32,
    index_pages: u32,
    live_rows: u64,
    /// Elements of the segment array, removed ones too.
    segment_array_len: u32,
    /// 1 where `growing` is in use. It is not in the array; its id may lie behind it.
    has_growing: u32,
    index: PageRef,
    segments: PageRef,
    name_bytes: u32,
    model_bytes: u32,
    name: [256]u8,
    model: [1024]u8,
    /// Rows with a tombstone, in all segments.
    dead_rows: u64,
    /// Segments there have been: the generation of the next one, modulo 2^24.
    segments_made: u64,
    /// The transaction that last amended a row; 0 where none did.
    last_amended: u64,
    /// 1 where some row may have an `expiry_ms`.
    has_expiry: u32 = 0,
    /// 1 where rows go only when somebody deletes them, however full the file is.
    keeps_rows: u32 = 0,
    reserved_a: [224]u8 = @splat(0),
    growing: Segment,
    /// The transaction that made the collection; 0 where a version did that did not write it.
    made_by: u64 = 0,
    reserved_b: [page_bytes - 32 - 72 - 256 - 1024 - 264 - @sizeOf(Segment)]u8 = @splat(0),
};

/// One row of a segment's fixed extent, after the vectors.
pub const RowEntry = extern struct {
    /// Byte offset of the row's record.
    record_offset: u64,
    /// `checksum.bytes` of the vector's `dimension` floats, seeded with the row's place.
    vector_checksum: u64,
    /// 1 / Euclidean norm of the vector, 0 for the zero vector.
    inverse_norm: f32,
    /// What the row cost, in a unit of the caller's: of an embedding the tokens that it took.
    cost: u32 = 0,
    /// `checksum.bytes` of the 24 bytes before it, seeded with the row's place.
    checksum: u64 = 0,
};

/// Followed by the key and the metadata, then padding to 8 bytes.
pub const Record = extern struct {
    /// `checksum.bytes` of the rest of this header and the key, seeded with the row's place.
    checksum: u64 = 0,
    /// `checksum.bytes` of the metadata, seeded with the row's place.
    metadata_checksum: u64,
    /// Milliseconds since 1970; 0 never expires.
    expiry_ms: i64 = 0,
    transaction_id: u64,
    location: u64,
    key_bytes: u32,
    metadata_bytes: u32,
};

pub const record_alignment = 8;

/// Rows of one block of codes.
pub const code_block_rows = 32;

/// A block is as the kernels take it (kernels/table.zig, `blockBytes`), and this behind it.
pub const CodeBlockTail = extern struct {
    /// Of each row, see `CodeFactors` and `CodeQuery` there.
    offsets: [code_block_rows]f32,
    scales: [code_block_rows]f32,
    biases: [code_block_rows]f32,
    deviations: [code_block_rows]f32,
    reserved: [56]u8 = @splat(0),
    /// `checksum.bytes` of the whole block before it, seeded with the place of its first row.
    checksum: u64 = 0,
};

/// Behind the values of a centre.
pub const CodeCentreTail = extern struct {
    /// `checksum.bytes` of the centre's values alone: segments with one centre share it.
    id: u64,
    reserved: [48]u8 = @splat(0),
    /// `checksum.bytes` of everything before it, seeded with the place of row 0.
    checksum: u64 = 0,
};

/// Rows of one page of amendments: those of a block of columns.
pub const amendment_rows_per_page = column_block_rows;

/// What was replaced of 256 rows since they were written.
pub const AmendmentPage = extern struct {
    header: PageHeader,
    /// Of each row, byte offset of the record that took the place of its own; 0 where none did.
    records: [amendment_rows_per_page]u64,
    /// Took the place of the entry in the fixed extent; all zeros where none did.
    columns: ColumnEntry,
    /// Bit r mod 64 of word r / 64 is set where row r was amended after its columns were made.
    stale: [amendment_rows_per_page / 64]u64,
    reserved: [page_bytes - @sizeOf(PageHeader) - 2048 - 32 - 32]u8 = @splat(0),
};

/// Elements of a segment's array of amendment pages.
pub fn amendmentPages(capacity: u32) u32 {
    return (capacity + amendment_rows_per_page - 1) / amendment_rows_per_page;
}

/// Where the columns of a block of rows lie.
pub const ColumnEntry = extern struct {
    /// Byte offset of the block in the segment's heap; 0 where there is none.
    offset: u64,
    bytes: u32,
    kind: Kind,
    /// `checksum.bytes` of the block, seeded with the place of its first row.
    block_checksum: u64,
    /// `checksum.bytes` of the 24 bytes before it, seeded likewise.
    checksum: u64 = 0,

    pub const none: ColumnEntry = std.mem.zeroes(ColumnEntry);

    pub const Kind = enum(u32) {
        /// None of the rows has metadata.
        none = 1,
        /// Columns as column_block.zig has them.
        block = 2,
        /// No columns were made: there was no room for them, or a row could not be read.
        left_out = 3,
        _,
    };
};

/// Rows of one block of columns: a row's number and a value's code are bytes.
pub const column_block_rows = 256;

/// Columns are of fields with names of at most so many bytes.
pub const column_name_bytes_max = 255;

/// A longer string is in a dictionary with one byte more than these: a value of that length is
/// where any string may come from that begins with it.
pub const column_text_bytes_max = 128;

/// A list of rows that takes as much is a bitmap.
pub const column_bitmap_bytes = column_block_rows / 8;

/// Begins the columns of a block. Places are offsets from here.
pub const ColumnBlock = extern struct {
    /// All of the block, a multiple of 8.
    byte_count: u32,
    /// Of the first `Column`. They are sorted by name (`document.nameOrder`), then by kind.
    directory_offset: u32,
    column_count: u16,
    row_count: u16,
    /// 1 where a field that has no column may be one that was left out.
    has_left_out: u32 = 0,
};

/// The rows whose value in one field is of one kind. Places that are 0 hold nothing.
pub const Column = extern struct {
    name_offset: u32,
    /// A bitmap; 0: every row of the block.
    rows_offset: u32,
    /// A bitmap of rows with arrays whose elements are not all there; 0: none.
    unknown_offset: u32 = 0,
    /// The distinct values, sorted; of arrays their elements.
    dictionary_offset: u32 = 0,
    /// Of each row its value, of each element its rows. 0: all rows have the one value.
    codes_offset: u32 = 0,
    row_count: u16,
    value_count: u16 = 0,
    name_bytes: u8,
    /// A `document.Kind`.
    kind: u8,
    reserved: [6]u8 = @splat(0),
};

/// Whether a column has codes only of its own rows, and not one for each row of the block.
pub fn isSparse(rows: u32, block_rows: u32) bool {
    return rows * 4 < block_rows;
}

/// From the start of a segment's extent to the entries of its columns.
pub fn columnsStart(capacity: u64, dimension: u32, code_dimension: u32) u64 {
    return codesStart(capacity, dimension) + codeCentreBytes(code_dimension) +
        capacity / code_block_rows * codeBlockBytes(code_dimension);
}

/// Of a block of columns in a segment of that capacity; 0 where that is too small for columns.
pub fn columnRows(capacity: u64) u32 {
    return if (capacity < code_block_rows) 0 else column_block_rows;
}

pub fn codeBlockBytes(code_dimension: u32) u64 {
    return @as(u64, code_dimension) / 2 * (code_block_rows / 4) + @sizeOf(CodeBlockTail);
}

pub fn codeCentreBytes(code_dimension: u32) u64 {
    return @as(u64, code_dimension) * @sizeOf(f32) + @sizeOf(CodeCentreTail);
}

/// From the start of a segment's extent to its codes.
pub fn codesStart(capacity: u64, dimension: u32) u64 {
    return std.mem.alignForward(u64, capacity * (vectorStride(dimension) + @sizeOf(RowEntry)), 64);
}

/// Of a segment's fixed extent. What has no codes has no columns either.
pub fn segmentBytes(capacity: u64, dimension: u32, code_dimension: u32) u64 {
    const start = codesStart(capacity, dimension);
    if (code_dimension == 0) return start;
    const columns_start = columnsStart(capacity, dimension, code_dimension);
    const column_rows = columnRows(capacity);
    if (column_rows == 0) return columns_start;
    const block_count = (capacity + column_rows - 1) / column_rows;
    return columns_start + block_count * @sizeOf(ColumnEntry);
}

/// Bytes from one vector to the next: vectors start at multiples of 64 bytes.
pub fn vectorStride(dimension: u32) u64 {
    return std.mem.alignForward(u64, @as(u64, dimension) * @sizeOf(f32), 64);
}

/// The seed that binds checksums to a row's place: a row that was written somewhere else, or left
/// over from a dropped segment, does not verify.
pub fn rowSeed(collection_id: u32, location: Location) u64 {
    const collection = @as(u64, collection_id) *% 0x9E37_79B9_7F4A_7C15;
    return (location.toInt() +% collection) *% 0xD6E8_FEB8_6659_FD93;
}

pub fn pageOffset(page: u32) u64 {
    return @as(u64, page) * page_bytes;
}

pub fn pagesFor(bytes: u64) u64 {
    return (bytes + page_bytes - 1) / page_bytes;
}

comptime {
    const assert = std.debug.assert;
    assert(@sizeOf(Header) == 512);
    assert(@sizeOf(Root) == 512);
    assert(@sizeOf(PageRef) == 16);
    assert(@sizeOf(PageHeader) == 32);
    assert(@sizeOf(InnerPage) == page_bytes);
    assert(@sizeOf(BucketPage) == page_bytes);
    assert(@sizeOf(TombstonePage) == page_bytes);
    assert(@sizeOf(SegmentPage) == page_bytes);
    assert(@sizeOf(Segment) == 1232);
    assert(@sizeOf(AmendmentPage) == page_bytes);
    assert(@sizeOf(CollectionPage) == page_bytes);
    assert(@sizeOf(RowEntry) == 32);
    assert(@sizeOf(Record) == 48);
    assert(@sizeOf(CodeBlockTail) == 576);
    assert(@sizeOf(CodeCentreTail) == 64);
    assert(@sizeOf(ColumnEntry) == 32);
    assert(@sizeOf(ColumnBlock) == 16);
    assert(@sizeOf(Column) == 32);
    assert(@offsetOf(Header, "checksum") == 496);
    assert(@offsetOf(Root, "checksum") == 496);
    assert(@offsetOf(BucketPage, "hashes") == 32);
    assert(@offsetOf(InnerPage, "checksums") == 1056);
}

test "a location keeps its parts" {
    const location: Location = .{ .segment = 0xABCDEF, .generation = 7, .row = 0xFFFE };
    const back = Location.fromInt(location.toInt());
    try std.testing.expectEqual(location, back);
    try std.testing.expectEqual(@as(u64, 0xABCDEF), location.toInt() >> 40);
}

test "vectors are 64 bytes apart or a multiple of it" {
    try std.testing.expectEqual(@as(u64, 64), vectorStride(1));
    try std.testing.expectEqual(@as(u64, 64), vectorStride(16));
    try std.testing.expectEqual(@as(u64, 128), vectorStride(17));
    try std.testing.expectEqual(@as(u64, 6144), vectorStride(1536));
}
