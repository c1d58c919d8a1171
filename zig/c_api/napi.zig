//! The part of Node-API that is used: its types, and its functions, which live in the program that
//! loads this library. They are weak symbols, so that the library also loads into a program that
//! has none.

const std = @import("std");
const builtin = @import("builtin");
const Lock = @import("lock.zig").Lock;

pub const Environment = *opaque {};
pub const CallbackInfo = *opaque {};
pub const Value = ?*opaque {};
pub const Callback = *const fn (Environment, CallbackInfo) callconv(.c) Value;
/// What settles a promise.
pub const Deferred = *opaque {};
/// A piece of work for a thread of the pool.
pub const Work = *opaque {};

/// napi_status. Only success needs a name.
pub const NapiStatus = enum(c_int) { ok = 0, _ };

/// napi_typedarray_type.
pub const ArrayType = enum(c_int) {
    int8,
    uint8,
    uint8_clamped,
    int16,
    uint16,
    int32,
    uint32,
    float32,
    float64,
    _,
};

/// napi_property_descriptor.
pub const Property = extern struct {
    utf8_name: [*:0]const u8,
    name: Value = null,
    method: Callback,
    getter: ?Callback = null,
    setter: ?Callback = null,
    value: Value = null,
    /// napi_enumerable.
    attributes: c_int = 1 << 1,
    data: ?*anyopaque = null,
};

/// The part of Node-API that is used, as types. The field names are the symbols' names.
pub const Host = struct {
    napi_get_cb_info: *const fn (
        Environment,
        CallbackInfo,
        argc: *usize,
        argv: [*]Value,
        this: ?*Value,
        data: ?*?*anyopaque,
    ) callconv(.c) NapiStatus,
    napi_get_value_double: *const fn (Environment, Value, *f64) callconv(.c) NapiStatus,
    napi_get_typedarray_info: *const fn (
        Environment,
        Value,
        type: *ArrayType,
        length: *usize,
        data: *?*anyopaque,
        array_buffer: ?*Value,
        byte_offset: ?*usize,
    ) callconv(.c) NapiStatus,
    napi_typeof: *const fn (Environment, Value, *c_int) callconv(.c) NapiStatus,
    napi_create_int32: *const fn (Environment, i32, *Value) callconv(.c) NapiStatus,
    napi_create_uint32: *const fn (Environment, u32, *Value) callconv(.c) NapiStatus,
    napi_define_properties: *const fn (
        Environment,
        object: Value,
        count: usize,
        properties: [*]const Property,
    ) callconv(.c) NapiStatus,
    napi_add_env_cleanup_hook: *const fn (
        Environment,
        *const fn (?*anyopaque) callconv(.c) void,
        ?*anyopaque,
    ) callconv(.c) NapiStatus,
    napi_create_string_utf8: *const fn (
        Environment,
        bytes: [*]const u8,
        len: usize,
        *Value,
    ) callconv(.c) NapiStatus,
    napi_create_promise: *const fn (
        Environment,
        *Deferred,
        promise: *Value,
    ) callconv(.c) NapiStatus,
    napi_resolve_deferred: *const fn (Environment, Deferred, Value) callconv(.c) NapiStatus,
    napi_create_async_work: *const fn (
        Environment,
        resource: Value,
        resource_name: Value,
        execute: *const fn (Environment, ?*anyopaque) callconv(.c) void,
        complete: *const fn (Environment, NapiStatus, ?*anyopaque) callconv(.c) void,
        data: ?*anyopaque,
        *Work,
    ) callconv(.c) NapiStatus,
    napi_queue_async_work: *const fn (Environment, Work) callconv(.c) NapiStatus,
    napi_delete_async_work: *const fn (Environment, Work) callconv(.c) NapiStatus,
    napi_throw_error: *const fn (
        Environment,
        code: ?[*:0]const u8,
        message: [*:0]const u8,
    ) callconv(.c) NapiStatus,
    napi_throw_type_error: *const fn (
        Environment,
        code: ?[*:0]const u8,
        message: [*:0]const u8,
    ) callconv(.c) NapiStatus,

    /// Null where the program has no Node-API.
    fn find() ?Host {
        var found: Host = undefined;
        inline for (@typeInfo(Host).@"struct".fields) |field| {
            @field(found, field.name) = findFunction(field.type, field.name) orelse return null;
        }
        return found;
    }
};

fn findFunction(comptime Pointer: type, comptime name: [:0]const u8) ?Pointer {
    if (builtin.os.tag == .windows) {
        // A DLL cannot leave symbols open, and the program may be renamed, so its name cannot be
        // linked against.
        const program = windows.GetModuleHandleW(null) orelse return null;
        return @ptrCast(windows.GetProcAddress(program, name));
    }
    return @extern(?Pointer, .{ .name = name, .linkage = .weak });
}

const windows = struct {
    const Module = *opaque {};
    const Procedure = *const fn () callconv(.winapi) isize;
    extern "kernel32" fn GetModuleHandleW(name: ?[*:0]const u16) callconv(.winapi) ?Module;
    extern "kernel32" fn GetProcAddress(Module, [*:0]const u8) callconv(.winapi) ?Procedure;
};

/// Written at every registration, once per thread that loads the module, with the same values.
pub var host: Host = undefined;
var host_lock: Lock = .{};

/// False where the program has no Node-API.
pub fn enter() bool {
    host_lock.lock();
    defer host_lock.unlock();
    host = Host.find() orelse return false;
    return true;
}

pub fn decodeInteger(comptime T: type, environment: Environment, value: Value, out: *T) bool {
    var number: f64 = 0;
    if (host.napi_get_value_double(environment, value, &number) != .ok) return false;
    // Written so that NaN fails too.
    if (!(number >= std.math.minInt(T) and number <= std.math.maxInt(T))) return false;
    if (number != @trunc(number)) return false;
    out.* = @intFromFloat(number);
    return true;
}

/// Called from four hundred places, so never inlined.
pub noinline fn throw(environment: Environment, message: [*:0]const u8) Value {
    _ = host.napi_throw_type_error(environment, "ERR_INVALID_ARG_TYPE", message);
    return null;
}
