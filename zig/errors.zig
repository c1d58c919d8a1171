//! The errors of the engine, and the sentence that explains the last one to a person.

const std = @import("std");
const os = @import("os/os.zig");
const sentence = @import("sentence.zig");

/// Finite: the boundary gives each member a status with a switch that has no `else`.
pub const Error = error{
    InvalidArgument,
    /// A vector's length is not the collection's dimension.
    Dimension,
    /// NaN, infinity, or a zero vector under cosine.
    InvalidVector,
    /// Empty, too long, or not UTF-8.
    Key,
    /// The collection was made for another embedding model.
    Model,
    /// There is no such collection, and it was not to be made.
    NotFound,
    /// The object was closed, or what it stands for no longer exists.
    Closed,
    ReadOnly,
    /// Another connection kept the write lock for longer than the busy timeout.
    Locked,
    NotADatabase,
    /// Written by a newer format than this library reads.
    Version,
    Corrupt,
    NoSpace,
    InputOutput,
    /// A sync failed earlier on this connection: what it wrote may be lost. Reopen.
    Poisoned,
    OutOfMemory,
    FileNotFound,
    /// The caller's buffer is too small; the needed size was returned. Nothing changed.
    BufferTooSmall,
};

/// What was found, what was expected and what to do, in one sentence. Tests never match the text.
pub const Diagnostics = struct {
    buffer: [768]u8 = undefined,
    len: usize = 0,

    pub fn message(diagnostics: *const Diagnostics) []const u8 {
        return diagnostics.buffer[0..diagnostics.len];
    }

    /// Keeps the sentence and returns `failure`, so that a call site reads as one statement.
    /// Text beyond the buffer is cut at a character boundary.
    pub fn fail(
        diagnostics: *Diagnostics,
        failure: Error,
        comptime format: []const u8,
        arguments: anytype,
    ) Error {
        diagnostics.keep(format, &sentence.name(format, &arguments));
        return failure;
    }

    noinline fn keep(
        diagnostics: *Diagnostics,
        format: []const u8,
        named: []const sentence.Named,
    ) void {
        var len = sentence.write(&diagnostics.buffer, format, named).len;
        if (len == diagnostics.buffer.len) {
            while (len > 0 and diagnostics.buffer[len - 1] & 0xC0 == 0x80) len -= 1;
            if (len > 0 and diagnostics.buffer[len - 1] >= 0x80) len -= 1;
        }
        diagnostics.len = len;
    }

    /// Translates a failure of the machine; `doing` completes "while …". It is not comptime, and
    /// the function is not inlined: a copy for every caller took 20 KB of the library.
    pub noinline fn failOs(diagnostics: *Diagnostics, failure: os.Error, doing: []const u8) Error {
        return switch (failure) {
            error.NoSpace => diagnostics.fail(
                error.NoSpace,
                "no space left on the device while {s}; nothing of the current write was kept, " ++
                    "free some space and repeat it",
                .{doing},
            ),
            error.InputOutput => diagnostics.fail(
                error.InputOutput,
                "the device reported an error while {s}; check the disk and the file system's log",
                .{doing},
            ),
            error.AccessDenied => diagnostics.fail(
                error.InputOutput,
                "permission denied while {s}; check the owner and the mode of the file and its " ++
                    "folder",
                .{doing},
            ),
            error.ReadOnlyMedia => diagnostics.fail(
                error.ReadOnly,
                "the file system is read-only (found while {s}); open with readonly: true",
                .{doing},
            ),
            error.FileNotFound => diagnostics.fail(
                error.FileNotFound,
                "no such file or folder while {s}; check the path",
                .{doing},
            ),
            error.IsDirectory => diagnostics.fail(
                error.NotADatabase,
                "the path names a directory, a file is expected (found while {s})",
                .{doing},
            ),
            error.NotRegularFile => diagnostics.fail(
                error.NotADatabase,
                "the path names something that is not a regular file (found while {s})",
                .{doing},
            ),
            error.TooManyFiles => diagnostics.fail(
                error.InputOutput,
                "too many open files while {s}; raise the limit (ulimit -n) or close some",
                .{doing},
            ),
            error.LocksUnsupported => diagnostics.fail(
                error.InputOutput,
                "this file system has no byte-range locks (found while {s}); use a local file " ++
                    "system, or open with readonly: true",
                .{doing},
            ),
            error.OutOfMemory => diagnostics.fail(
                error.OutOfMemory,
                "out of memory while {s}",
                .{doing},
            ),
        };
    }
};

test "a message that is too long is cut at a character boundary" {
    var diagnostics: Diagnostics = .{};
    const long = "é" ** 1000;
    try std.testing.expectEqual(
        @as(Error, error.Key),
        diagnostics.fail(error.Key, "x{s}", .{long}),
    );
    try std.testing.expect(std.unicode.utf8ValidateSlice(diagnostics.message()));
    try std.testing.expect(diagnostics.message().len > 700);
}
