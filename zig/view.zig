//! One state of the database: a root, and the collections as it describes them, decoded when they
//! are first asked for. The current state, every snapshot and a running transaction each hold one.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const page_array = @import("page_array.zig");
const CollectionState = @import("collection_state.zig").CollectionState;
const Source = @import("key_index.zig").Source;

const Error = errors.Error;

pub const View = struct {
    gpa: std.mem.Allocator,
    root: format.Root,
    /// By position in the catalogue.
    collections: std.AutoHashMapUnmanaged(u32, *CollectionState) = .empty,

    pub fn deinit(view: *View) void {
        var states = view.collections.valueIterator();
        while (states.next()) |state| state.*.release(view.gpa);
        view.collections.deinit(view.gpa);
        view.* = undefined;
    }

    pub fn clone(view: *const View) error{OutOfMemory}!View {
        const copy: View = .{
            .gpa = view.gpa,
            .root = view.root,
            .collections = try view.collections.clone(view.gpa),
        };
        var states = copy.collections.valueIterator();
        while (states.next()) |state| state.*.references += 1;
        return copy;
    }

    /// The collection at `index` of the catalogue, borrowed from the view; null where it was
    /// dropped.
    pub fn collection(view: *View, source: Source, index: u32) Error!?*CollectionState {
        if (view.collections.get(index)) |state| return state;
        if (index >= view.root.catalogue_len) return null;
        const ref = try page_array.get(source, view.root.catalogue, view.root.catalogue_len, index);
        if (ref.isNone()) return null;
        if (view.collections.count() >= view.root.collection_count) {
            return source.corrupt(ref, "is one collection more than the root counts");
        }
        const state = try CollectionState.load(view.gpa, source, ref, index, null);
        return try view.keep(source, index, state);
    }

    /// Takes over the caller's reference.
    pub fn keep(
        view: *View,
        source: Source,
        index: u32,
        state: *CollectionState,
    ) Error!*CollectionState {
        view.collections.put(view.gpa, index, state) catch {
            state.release(view.gpa);
            return source.cache.diagnostics.failOs(error.OutOfMemory, "opening a collection");
        };
        return state;
    }

    /// Of codes that searches keep in memory.
    pub fn copiedBytes(view: *const View) u64 {
        var bytes: u64 = 0;
        var states = view.collections.valueIterator();
        while (states.next()) |state| {
            for (state.*.loaded.values()) |segment| {
                bytes += segment.verified.copy.len + segment.verified.columns.bytes();
            }
        }
        return bytes;
    }

    /// By name, in the order of the catalogue.
    pub fn find(view: *View, source: Source, name: []const u8) Error!?*CollectionState {
        var index: u32 = 0;
        while (index < view.root.catalogue_len) : (index += 1) {
            const state = try view.collection(source, index) orelse continue;
            if (std.mem.eql(u8, state.identity.name(), name)) return state;
        }
        return null;
    }

    /// The state that `root` describes, keeping whatever of this view did not change.
    pub fn advance(view: *View, source: Source, root: *const format.Root) Error!View {
        var next: View = .{ .gpa = view.gpa, .root = root.* };
        errdefer next.deinit();
        var states = view.collections.iterator();
        while (states.next()) |entry| {
            const index = entry.key_ptr.*;
            if (index >= root.catalogue_len) continue;
            const ref = try page_array.get(source, root.catalogue, root.catalogue_len, index);
            if (ref.isNone()) continue;
            const old = entry.value_ptr.*;
            const state = if (ref.eql(old.page))
                old.retain()
            else
                try CollectionState.load(view.gpa, source, ref, index, old);
            _ = try next.keep(source, index, state);
        }
        return next;
    }
};
