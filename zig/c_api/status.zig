//! What every function of the C ABI returns. The numbers are frozen: a new status is appended, none
//! is renumbered or reused.

const std = @import("std");
const vectorlite = @import("vectorlite");

pub const Status = enum(i32) {
    ok = 0,
    /// A miss, or the end of a scan or job. Not a failure.
    not_found = 1,
    invalid_argument = -1,
    dimension = -2,
    invalid_vector = -3,
    key = -4,
    model = -5,
    /// The handle was closed, never given out, or is of another kind.
    closed = -6,
    readonly = -7,
    locked = -8,
    not_a_database = -9,
    version = -10,
    corrupt = -11,
    no_space = -12,
    io = -13,
    poisoned = -14,
    out_of_memory = -15,
    file_not_found = -16,
    /// The needed size was written; nothing else changed.
    buffer_too_small = -17,

    /// No `else`: an error that is new in the engine breaks the build until it has a status.
    pub fn fromError(failure: vectorlite.Error) Status {
        return switch (failure) {
            error.InvalidArgument => .invalid_argument,
            error.Dimension => .dimension,
            error.InvalidVector => .invalid_vector,
            error.Key => .key,
            error.Model => .model,
            error.NotFound => .not_found,
            error.Closed => .closed,
            error.ReadOnly => .readonly,
            error.Locked => .locked,
            error.NotADatabase => .not_a_database,
            error.Version => .version,
            error.Corrupt => .corrupt,
            error.NoSpace => .no_space,
            error.InputOutput => .io,
            error.Poisoned => .poisoned,
            error.OutOfMemory => .out_of_memory,
            error.FileNotFound => .file_not_found,
            error.BufferTooSmall => .buffer_too_small,
        };
    }

    /// For a failure that came without a sentence of its own.
    pub fn sentence(status: Status) []const u8 {
        return switch (status) {
            .ok => "no failure",
            .not_found => "not found",
            .invalid_argument => "an argument is outside of what the function accepts",
            .dimension => "the vector's length is not the collection's dimension",
            .invalid_vector => "the vector holds NaN or infinity, or is zero under cosine",
            .key => "a key is empty, too long, or not UTF-8",
            .model => "the collection was made for another embedding model",
            .closed => "the handle is closed, or was never given out; open it again",
            .readonly => "opened read-only; open for writing to change anything",
            .locked => "another process is writing; try again, or raise the busy timeout",
            .not_a_database => "the file is not a VectorLite file",
            .version => "the file was written by a newer version; update the package",
            .corrupt => "a checksum does not match: the file is damaged",
            .no_space => "no space left on the device; nothing of the write was kept",
            .io => "the operating system reported an error",
            .poisoned => "a sync failed earlier, so nothing can be promised; close and open again",
            .out_of_memory => "out of memory; nothing of the call was kept",
            .file_not_found => "no such file or folder; check the path",
            .buffer_too_small => "the buffer is too small; repeat the call with the needed size",
        };
    }
};

test "the numbers are frozen" {
    const frozen = [_]struct { Status, i32 }{
        .{ .ok, 0 },                 .{ .not_found, 1 },       .{ .invalid_argument, -1 },
        .{ .dimension, -2 },         .{ .invalid_vector, -3 }, .{ .key, -4 },
        .{ .model, -5 },             .{ .closed, -6 },         .{ .readonly, -7 },
        .{ .locked, -8 },            .{ .not_a_database, -9 }, .{ .version, -10 },
        .{ .corrupt, -11 },          .{ .no_space, -12 },      .{ .io, -13 },
        .{ .poisoned, -14 },         .{ .out_of_memory, -15 }, .{ .file_not_found, -16 },
        .{ .buffer_too_small, -17 },
    };
    try std.testing.expectEqual(frozen.len, @typeInfo(Status).@"enum".fields.len);
    for (frozen) |pair| try std.testing.expectEqual(pair[1], @intFromEnum(pair[0]));
}

test "every error has a status of its own, and every status a sentence" {
    var seen: std.EnumSet(Status) = .initEmpty();
    inline for (@typeInfo(vectorlite.Error).error_set.?) |member| {
        const status = Status.fromError(@field(vectorlite.Error, member.name));
        try std.testing.expect(!seen.contains(status));
        try std.testing.expect(@intFromEnum(status) < 0 or status == .not_found);
        seen.insert(status);
    }
    for (std.enums.values(Status)) |status| try std.testing.expect(status.sentence().len > 0);
}
