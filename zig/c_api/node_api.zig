//! The same library as a Node-API module: one JavaScript function for every entry of the list.
//!
//! A wrong argument becomes a TypeError: nothing that JavaScript passes here is trusted, and a
//! buffer is refused when it is shorter than the lengths beside it claim. Node-API's functions live
//! in the program that loads this library. They are weak symbols, so that the library also loads
//! into a program that has none.

const std = @import("std");
const builtin = @import("builtin");
const boundary = @import("call.zig");
const functions = @import("functions.zig");
const signatures = @import("signature.zig");
const Lock = @import("lock.zig").Lock;

const Environment = *opaque {};
const CallbackInfo = *opaque {};
const Value = ?*opaque {};
const Callback = *const fn (Environment, CallbackInfo) callconv(.c) Value;

/// napi_status. Only success needs a name.
const NapiStatus = enum(c_int) { ok = 0, _ };

/// napi_typedarray_type.
const ArrayType = enum(c_int) {
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
const Property = extern struct {
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
const Host = struct {
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
var host: Host = undefined;
var host_lock: Lock = .{};

/// Node's entry point. Named `napi_register_module_v1` outside.
pub fn register(environment: Environment, exports: Value) callconv(.c) Value {
    {
        host_lock.lock();
        defer host_lock.unlock();
        host = Host.find() orelse return null;
    }
    watchThread(environment);
    const properties = comptime properties: {
        var properties: [functions.list.len]Property = undefined;
        for (functions.list, &properties) |entry, *property| {
            property.* = .{ .utf8_name = entry[0], .method = Wrapper(entry).call };
        }
        break :properties properties;
    };
    _ = host.napi_define_properties(environment, exports, properties.len, &properties);
    return exports;
}

var threads: std.atomic.Value(u32) = .init(0);

/// A worker that is terminated runs no JavaScript any more, so it is here that its write lock and
/// snapshots are let go. Once a thread, however often the module is loaded there.
fn watchThread(environment: Environment) void {
    if (boundary.thread != 0) return;
    boundary.thread = threads.fetchAdd(1, .monotonic) + 1;
    const number: ?*anyopaque = @ptrFromInt(boundary.thread);
    _ = host.napi_add_env_cleanup_hook(environment, threadEnded, number);
}

fn threadEnded(number: ?*anyopaque) callconv(.c) void {
    const ended: u32 = @intCast(@intFromPtr(number));
    boundary.closeAllOf(ended);
    if (boundary.thread == ended) boundary.thread = 0;
}

/// What an empty typed array is passed as: any address that is not null and aligned for all.
var nothing: u64 align(16) = 0;

fn Wrapper(comptime entry: anytype) type {
    return struct {
        const function = entry[1];
        const signature = signatures.of(entry);
        const parameters = signature.parameters;

        fn call(environment: Environment, info: CallbackInfo) callconv(.c) Value {
            var count: usize = parameters.len;
            // One more, because an array of none has no address.
            var values: [parameters.len + 1]Value = undefined;
            if (host.napi_get_cb_info(environment, info, &count, &values, null, null) != .ok or
                count != parameters.len)
            {
                return throw(environment, std.fmt.comptimePrint(
                    "{s} takes {d} arguments",
                    .{ signature.name, parameters.len },
                ));
            }
            var arguments: std.meta.ArgsTuple(@TypeOf(function.*)) = undefined;
            var available: [parameters.len]usize = undefined;
            inline for (parameters, 0..) |parameter, i| {
                if (!decode(parameter, environment, values[i], &arguments[i], &available[i])) {
                    return throw(environment, signature.name ++ ": " ++ parameter.name ++
                        " must be " ++ comptime expected(parameter));
                }
            }
            inline for (parameters, 0..) |parameter, i| {
                const needed = signatures.evaluate(signature, parameter.length, arguments);
                if (parameter.kind.isBuffer() and available[i] < needed) {
                    return throw(environment, signature.name ++ ": " ++ parameter.name ++
                        " is shorter than its length says");
                }
            }
            var result: Value = null;
            const number = @call(.auto, function, arguments);
            _ = switch (signature.result) {
                .i32 => host.napi_create_int32(environment, number, &result),
                .u32 => host.napi_create_uint32(environment, number, &result),
                else => comptime unreachable,
            };
            return result;
        }
    };
}

/// `available` becomes the elements of a buffer; an absent one is long enough for everything.
fn decode(
    comptime parameter: signatures.Parameter,
    environment: Environment,
    value: Value,
    argument: anytype,
    available: *usize,
) bool {
    switch (parameter.kind) {
        .u32 => return decodeInteger(u32, environment, value, argument),
        .i32 => return decodeInteger(i32, environment, value, argument),
        .f64 => return host.napi_get_value_double(environment, value, argument) == .ok,
        .bytes, .words, .floats, .doubles => {},
    }
    if (parameter.optional and isNull(environment, value)) {
        argument.* = null;
        available.* = std.math.maxInt(usize);
        return true;
    }
    var array_type: ArrayType = undefined;
    var data: ?*anyopaque = null;
    const status = host.napi_get_typedarray_info(
        environment,
        value,
        &array_type,
        available,
        &data,
        null,
        null,
    );
    if (status != .ok or array_type != comptime arrayType(parameter.kind)) return false;
    argument.* = @ptrCast(data orelse @as(*anyopaque, &nothing));
    return true;
}

fn isNull(environment: Environment, value: Value) bool {
    const napi_null = 1;
    var value_type: c_int = 0;
    return host.napi_typeof(environment, value, &value_type) == .ok and value_type == napi_null;
}

fn arrayType(kind: signatures.Kind) ArrayType {
    return switch (kind) {
        .bytes => .uint8,
        .words => .uint32,
        .floats => .float32,
        .doubles => .float64,
        .u32, .i32, .f64 => unreachable,
    };
}

fn decodeInteger(comptime T: type, environment: Environment, value: Value, out: *T) bool {
    var number: f64 = 0;
    if (host.napi_get_value_double(environment, value, &number) != .ok) return false;
    // Written so that NaN fails too.
    if (!(number >= std.math.minInt(T) and number <= std.math.maxInt(T))) return false;
    if (number != @trunc(number)) return false;
    out.* = @intFromFloat(number);
    return true;
}

fn expected(comptime parameter: signatures.Parameter) []const u8 {
    return switch (parameter.kind) {
        .u32 => "an integer from 0 to 4294967295",
        .i32 => "an integer from -2147483648 to 2147483647",
        .f64 => "a number",
        .bytes => "a Uint8Array",
        .words => "a Uint32Array",
        .floats => "a Float32Array",
        .doubles => "a Float64Array",
    } ++ if (parameter.optional) " or null" else "";
}

fn throw(environment: Environment, message: [*:0]const u8) Value {
    _ = host.napi_throw_type_error(environment, "ERR_INVALID_ARG_TYPE", message);
    return null;
}
