//! What callers may ask of a collection that they open, and whether the one that they get is that.

const std = @import("std");
const limits = @import("limits.zig");
const Database = @import("database.zig").Database;
const Error = @import("errors.zig").Error;
const Identity = @import("collection_state.zig").Identity;
const Metric = @import("metrics.zig").Metric;

pub const CollectionOptions = struct {
    /// 0: what the file says, `limits.dimension_default` for a new collection.
    dimension: u32 = 0,
    /// Null: what the file says, cosine for a new collection.
    metric: ?Metric = null,
    /// Identity of the embedding model; empty: not checked.
    model: []const u8 = "",
    /// Makes the collection where there is none.
    create: bool = true,
    /// Vectors kept in private memory.
    hot_vectors: u32 = 0,
    /// A new collection keeps all its rows until somebody deletes them.
    keeps_rows: bool = false,
    /// More rows than these are never kept: which go is said in eviction.zig. Null: no maximum.
    rows_max: ?u64 = null,

    /// Of a new collection.
    pub fn newDimension(options: *const CollectionOptions) u32 {
        return if (options.dimension == 0) limits.dimension_default else options.dimension;
    }

    /// Before anything is opened.
    pub fn check(
        options: *const CollectionOptions,
        database: *const Database,
        name: []const u8,
    ) Error!void {
        const diagnostics = database.diagnostics;
        if (name.len == 0 or name.len > limits.collection_name_bytes_max) return diagnostics.fail(
            error.InvalidArgument,
            "the collection's name has {d} bytes of UTF-8, expected 1 to {d}",
            .{ name.len, limits.collection_name_bytes_max },
        );
        if (options.model.len > limits.model_bytes_max) return diagnostics.fail(
            error.InvalidArgument,
            "the model's name has {d} bytes of UTF-8, at most {d} fit",
            .{ options.model.len, limits.model_bytes_max },
        );
        if (options.dimension > limits.dimension_max) return diagnostics.fail(
            error.InvalidArgument,
            "dimension is {d}, at most {d} is supported",
            .{ options.dimension, limits.dimension_max },
        );
    }

    /// A handle under which rows make room for others is none of a collection that keeps them.
    pub fn checkMayLose(
        options: *const CollectionOptions,
        database: *const Database,
        identity: *const Identity,
    ) Error!void {
        if (!identity.keeps_rows or database.options.readonly) return;
        if (!database.isBounded() and options.rows_max == null) return;
        return database.diagnostics.fail(
            error.InvalidArgument,
            "the collection \"{s}\" keeps all its vectors until they are deleted, and was " ++
                "opened with a maximum, under which some make room for others; leave the " ++
                "maximum out, or use another collection or file",
            .{identity.name()},
        );
    }

    /// Of the collection that was found or made.
    pub fn checkIdentity(
        options: *const CollectionOptions,
        database: *const Database,
        identity: *const Identity,
    ) Error!void {
        const diagnostics = database.diagnostics;
        if (options.dimension != 0 and options.dimension != identity.dimension) {
            return diagnostics.fail(
                error.Dimension,
                "the collection \"{s}\" has dimension {d}, it was opened with {d}; use the " ++
                    "file's, or another collection",
                .{ identity.name(), identity.dimension, options.dimension },
            );
        }
        if (options.metric) |metric| if (@intFromEnum(metric) != identity.metric) {
            const found: Metric = @enumFromInt(identity.metric);
            return diagnostics.fail(
                error.InvalidArgument,
                "the collection \"{s}\" has the metric {s}, it was opened with {s}",
                .{ identity.name(), @tagName(found), @tagName(metric) },
            );
        };
        if (options.model.len > 0 and !std.mem.eql(u8, options.model, identity.model())) {
            return diagnostics.fail(
                error.Model,
                "the collection \"{s}\" holds embeddings of the model \"{s}\", it was opened " ++
                    "for \"{s}\"; vectors of different models cannot be compared, use another " ++
                    "file or collection",
                .{ identity.name(), identity.model(), options.model },
            );
        }
    }
};
