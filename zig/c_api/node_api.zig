//! The same library as a Node-API module: one JavaScript function for every entry of the list.
//!
//! A wrong argument becomes a TypeError: nothing that JavaScript passes here is trusted, and a
//! buffer is refused when it is shorter than the lengths beside it claim. One function more is here
//! only: `job_runner` gives a promise, which the others have no word for.

const std = @import("std");
const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");
const functions = @import("functions.zig");
const job_runner = @import("job_runner.zig");
const napi = @import("napi.zig");
const signatures = @import("signature.zig");

const Environment = napi.Environment;
const CallbackInfo = napi.CallbackInfo;
const Value = napi.Value;
const sentence = vectorlite.sentence;

/// Node's entry point. Named `napi_register_module_v1` outside.
pub fn register(environment: Environment, exports: Value) callconv(.c) Value {
    if (!napi.enter()) return null;
    watchThread(environment);
    const properties = comptime properties: {
        var properties: [functions.list.len + 1]napi.Property = undefined;
        for (functions.list, properties[0..functions.list.len]) |entry, *property| {
            property.* = .{ .utf8_name = entry[0], .method = Wrapper(entry).call };
        }
        properties[functions.list.len] = .{
            .utf8_name = job_runner.name,
            .method = job_runner.run,
        };
        break :properties properties;
    };
    _ = napi.host.napi_define_properties(environment, exports, properties.len, &properties);
    return exports;
}

var threads: std.atomic.Value(u32) = .init(0);

/// A worker that is terminated runs no JavaScript any more, so it is here that its write lock and
/// snapshots are let go. Once a thread, however often the module is loaded there.
fn watchThread(environment: Environment) void {
    if (boundary.thread != 0) return;
    boundary.thread = threads.fetchAdd(1, .monotonic) + 1;
    const number: ?*anyopaque = @ptrFromInt(boundary.thread);
    _ = napi.host.napi_add_env_cleanup_hook(environment, threadEnded, number);
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
        const names = namesOf(signature);

        fn call(environment: Environment, info: CallbackInfo) callconv(.c) Value {
            var count: usize = parameters.len;
            // One more, because an array of none has no address.
            var values: [parameters.len + 1]Value = undefined;
            if (napi.host.napi_get_cb_info(environment, info, &count, &values, null, null) != .ok or
                count != parameters.len)
            {
                return throwCount(environment, names, parameters.len);
            }
            var arguments: std.meta.ArgsTuple(@TypeOf(function.*)) = undefined;
            var available: [parameters.len]usize = undefined;
            inline for (parameters, 0..) |parameter, i| {
                if (!decode(parameter, environment, values[i], &arguments[i], &available[i])) {
                    const problem = "must be " ++ comptime expected(parameter);
                    return throwArgument(environment, names, i, problem);
                }
            }
            inline for (parameters, 0..) |parameter, i| {
                const needed = signatures.evaluate(signature, parameter.length, arguments);
                if (parameter.kind.isBuffer() and available[i] < needed) {
                    const problem = "is shorter than its length says";
                    return throwArgument(environment, names, i, problem);
                }
            }
            var result: Value = null;
            const number = @call(.auto, function, arguments);
            _ = switch (signature.result) {
                .i32 => napi.host.napi_create_int32(environment, number, &result),
                .u32 => napi.host.napi_create_uint32(environment, number, &result),
                else => comptime unreachable,
            };
            return result;
        }
    };
}

/// Of a function and its parameters, each with a zero behind it. All that may be wrong with its
/// arguments is said with this one string: sentences for each took 20 KB of the library.
fn namesOf(comptime signature: signatures.Signature) [*:0]const u8 {
    comptime {
        var names: [:0]const u8 = signature.name;
        for (signature.parameters) |parameter| names = names ++ "\x00" ++ parameter.name;
        return names.ptr;
    }
}

fn throwCount(environment: Environment, names: [*:0]const u8, count: usize) Value {
    return throwSentence(environment, "{s} takes {d} arguments", .{ std.mem.span(names), count });
}

noinline fn throwArgument(
    environment: Environment,
    names: [*:0]const u8,
    number: usize,
    problem: [*:0]const u8,
) Value {
    var name = names;
    for (0..number + 1) |_| name += std.mem.len(name) + 1;
    return throwSentence(environment, "{s}: {s} {s}", .{
        std.mem.span(names), std.mem.span(name), std.mem.span(problem),
    });
}

fn throwSentence(environment: Environment, comptime format: []const u8, arguments: anytype) Value {
    var buffer: [256]u8 = undefined;
    const named = sentence.name(format, &arguments);
    const text = sentence.write(buffer[0 .. buffer.len - 1], format, &named);
    buffer[text.len] = 0;
    return napi.throw(environment, buffer[0..text.len :0]);
}

/// `available` becomes the elements of a buffer; an absent one is long enough for everything. Not
/// inlined: three hundred parameters share the few kinds that there are.
noinline fn decode(
    comptime parameter: signatures.Parameter,
    environment: Environment,
    value: Value,
    argument: anytype,
    available: *usize,
) bool {
    switch (parameter.kind) {
        .u32 => return napi.decodeInteger(u32, environment, value, argument),
        .i32 => return napi.decodeInteger(i32, environment, value, argument),
        .f64 => return napi.host.napi_get_value_double(environment, value, argument) == .ok,
        .bytes, .words, .floats, .doubles => {},
    }
    if (parameter.optional and isNull(environment, value)) {
        argument.* = null;
        available.* = std.math.maxInt(usize);
        return true;
    }
    var array_type: napi.ArrayType = undefined;
    var data: ?*anyopaque = null;
    const status = napi.host.napi_get_typedarray_info(
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
    const status = napi.host.napi_typeof(environment, value, &value_type);
    return status == .ok and value_type == napi_null;
}

fn arrayType(kind: signatures.Kind) napi.ArrayType {
    return switch (kind) {
        .bytes => .uint8,
        .words => .uint32,
        .floats => .float32,
        .doubles => .float64,
        .u32, .i32, .f64 => unreachable,
    };
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
