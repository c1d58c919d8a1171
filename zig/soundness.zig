//! Whether the fields of a page can be true. A checksum says that a page is what was written; who
//! reads a file that may be hostile, or a page that nothing vouches for, asks here before use.

const std = @import("std");
const format = @import("format.zig");
const limits = @import("limits.zig");

pub fn isCollection(page: *const format.CollectionPage) bool {
    return page.header.type == .collection and
        page.dimension >= 1 and page.dimension <= limits.dimension_max and
        page.metric <= 2 and page.has_growing <= 1 and
        page.segment_array_len <= limits.segments_max and
        page.name_bytes >= 1 and page.name_bytes <= limits.collection_name_bytes_max and
        page.model_bytes <= limits.model_bytes_max;
}

/// Of vectors with so many dimensions, in a file of so many pages.
pub fn isSegment(disk: *const format.Segment, dimension: u32, file_pages: u32) bool {
    if (!isSegmentShape(disk, file_pages)) return false;
    const length = disk.code_dimension;
    if (length != 0 and length < dimension) return false;
    return format.pageOffset(disk.extent_page_count) >=
        format.segmentBytes(disk.capacity, dimension, length);
}

/// As far as it can be said without the dimension.
pub fn isSegmentShape(disk: *const format.Segment, file_pages: u32) bool {
    const is_sound = disk.id < limits.segments_max and
        disk.generation < limits.generations_max and
        disk.capacity >= 1 and disk.capacity <= limits.segment_rows_max and
        disk.rows <= disk.capacity and disk.dead_rows <= disk.rows and
        disk.heap_count <= limits.heap_extents_max and
        disk.code_dimension % 64 == 0 and disk.code_dimension <= limits.dimension_max and
        (disk.column_rows == 0 or isColumnRows(disk)) and
        isExtent(disk.extent_page, disk.extent_page_count, file_pages);
    if (!is_sound) return false;
    for (disk.heap[0..disk.heap_count]) |heap| {
        if (!isExtent(heap.page, heap.page_count, file_pages)) return false;
        if (heap.used_bytes > format.pageOffset(heap.page_count)) return false;
    }
    return true;
}

fn isColumnRows(disk: *const format.Segment) bool {
    return disk.code_dimension != 0 and disk.column_rows == format.columnRows(disk.capacity);
}

fn isExtent(page: u32, count: u32, file_pages: u32) bool {
    if (count == 0 or page < format.first_free_page) return false;
    const end = @as(u64, page) + count;
    if (end > file_pages) return false;
    return page / format.window_pages == (end - 1) / format.window_pages;
}

/// Of the fixed part of a record.
pub fn isRecord(record: *const format.Record) bool {
    return record.key_bytes >= 1 and record.key_bytes <= limits.key_bytes_max and
        record.metadata_bytes <= limits.metadata_bytes_max;
}
