//! What this process knows of the columns of one segment, so that a filter which is asked again
//! reads and checks nothing twice. What is written is never changed, so it stays true as long as
//! its rows do.

const std = @import("std");
const format = @import("format.zig");
const LooseColumns = @import("loose_columns.zig").LooseColumns;

pub const KnownColumns = struct {
    /// One for each block of columns that the segment can have; none before the first is asked for.
    blocks: []Block = &.{},
    /// Of the rows behind the last block that the file has columns of.
    loose: LooseColumns = .{},

    pub const Block = struct {
        /// As the segment's fixed extent has it; null before it was read.
        entry: ?format.ColumnEntry = null,
        /// Of the last one whose bytes were found whole; 0 where none was.
        offset: u64 = 0,
        checksum: u64 = 0,
        /// Its bytes, where they are copied.
        copy: []align(8) u8 = &.{},

        /// Whether the bytes of `entry` were found whole.
        pub fn isWhole(block: *const Block, entry: *const format.ColumnEntry) bool {
            return block.offset == entry.offset and block.checksum == entry.block_checksum;
        }

        pub fn remember(block: *Block, entry: *const format.ColumnEntry) void {
            block.offset = entry.offset;
            block.checksum = entry.block_checksum;
        }

        /// Room for the bytes of another one; it is not copied before they are there.
        pub fn room(
            block: *Block,
            gpa: std.mem.Allocator,
            len: usize,
        ) error{OutOfMemory}![]align(8) u8 {
            block.drop(gpa);
            block.copy = try gpa.alignedAlloc(u8, .@"8", len);
            return block.copy;
        }

        pub fn drop(block: *Block, gpa: std.mem.Allocator) void {
            gpa.free(block.copy);
            block.copy = &.{};
            block.offset = 0;
        }
    };

    pub fn at(
        known: *KnownColumns,
        gpa: std.mem.Allocator,
        disk: *const format.Segment,
        row: u32,
    ) error{OutOfMemory}!*Block {
        if (known.blocks.len == 0) {
            known.blocks = try gpa.alloc(Block, disk.columnBlocks());
            @memset(known.blocks, .{});
        }
        return &known.blocks[row / disk.column_rows];
    }

    /// The rows of the blocks from there on are others now. Memory stays for the next ones.
    pub fn forgetFrom(known: *KnownColumns, index: usize) void {
        known.loose.forget();
        for (known.blocks[@min(index, known.blocks.len)..]) |*block| {
            block.entry = null;
            block.offset = 0;
        }
    }

    pub fn bytes(known: *const KnownColumns) u64 {
        var sum: u64 = known.blocks.len * @sizeOf(Block);
        for (known.blocks) |*block| sum += block.copy.len;
        return sum + known.loose.columns.capacity;
    }

    pub fn deinit(known: *KnownColumns, gpa: std.mem.Allocator) void {
        for (known.blocks) |*block| gpa.free(block.copy);
        gpa.free(known.blocks);
        known.loose.deinit(gpa);
    }
};
