//! Says of nearly all texts that are not in a set of strings that they are not, by one bit for the
//! last eight bytes of each. A dictionary is walked with it, which takes less time than searching
//! it for each string: there is nothing to guess wrong on the way.

const std = @import("std");

pub const TextMarks = struct {
    words: [word_count]u64 = @splat(0),

    const word_count = 16;
    const Place = @Int(.unsigned, std.math.log2_int(usize, word_count * 64));

    pub fn add(marks: *TextMarks, text: []const u8) void {
        const place = placeOf(text, 0, text.len);
        marks.words[place / 64] |= @as(u64, 1) << @truncate(place);
    }

    /// Of the text from `start` to `end`. False where it was not added.
    pub fn mayHave(marks: *const TextMarks, texts: []const u8, start: usize, end: usize) bool {
        const place = placeOf(texts, start, end);
        return marks.words[place / 64] >> @truncate(place) & 1 != 0;
    }

    fn placeOf(texts: []const u8, start: usize, end: usize) Place {
        const mixed = tailOf(texts, start, end) *% 0x9E37_79B9_7F4A_7C15;
        return @intCast(mixed >> 64 - @bitSizeOf(Place));
    }

    /// The last eight bytes, the last one the highest; zeros where there are fewer.
    fn tailOf(texts: []const u8, start: usize, end: usize) u64 {
        std.debug.assert(start <= end and end <= texts.len);
        @setRuntimeSafety(false);
        const length = @min(end - start, 8);
        if (end >= 8) {
            const tail = std.mem.readInt(u64, texts[end - 8 ..][0..8], .little);
            return tail & masks[length];
        }
        var tail: u64 = 0;
        for (texts[start..end]) |byte| tail = tail >> 8 | @as(u64, byte) << 56;
        return tail;
    }
};

/// What is left of eight bytes by a text of that length, which has the highest ones.
pub const masks: [9]u64 = masks: {
    var each: [9]u64 = @splat(0);
    for (each[1..], 1..) |*mask, length| mask.* = ~@as(u64, 0) << 64 - 8 * length;
    break :masks each;
};

test "what was added is found wherever it lies, and few others are" {
    var marks: TextMarks = .{};
    const added = [_][]const u8{ "", "a", "category-12", "12345678", "1234567" };
    for (added) |text| marks.add(text);
    var buffer: [64]u8 = @splat('x');
    for (added) |text| for ([_]usize{ 0, 3, 20 }) |start| {
        @memcpy(buffer[start..][0..text.len], text);
        try std.testing.expect(marks.mayHave(&buffer, start, start + text.len));
    };
    var found: usize = 0;
    for (0..1000) |i| {
        const other = try std.fmt.bufPrint(&buffer, "other {d}", .{i});
        found += @intFromBool(marks.mayHave(&buffer, 0, other.len));
    }
    try std.testing.expect(found < 30);
}
