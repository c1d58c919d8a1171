/*
 * Opens the library as a program in C does, with the libc and the loader of its system:
 *
 *     open_library <library> <database>
 *
 * `zig build test-library` compiles and runs it, for any platform.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
static void *load(const char *path) { return (void *)LoadLibraryA(path); }
static void *find(void *library, const char *name) {
    return (void *)GetProcAddress((HMODULE)library, name);
}
static const char *whyNot(void) { return "LoadLibrary failed"; }
#else
#include <dlfcn.h>
static void *load(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
static void *find(void *library, const char *name) { return dlsym(library, name); }
static const char *whyNot(void) { return dlerror(); }
#endif

enum { ok = 0, not_found = 1, dimension = 200, rows = 300, keyBytes = 4 };

typedef struct {
    uint32_t size, flags, durability, busy;
    double budget;
    uint32_t root, zero;
    double bytesMax;
} Open;
typedef struct { uint32_t size, flags, dimension, metric, hot, rowsMax; } Shape;
typedef struct { uint32_t segment, row; float score; uint32_t zero; } Hit;

static uint32_t (*abiVersion)(void);
static int32_t (*lastError)(char *, uint32_t, uint32_t *);
static int32_t (*closeHandle)(uint32_t);
static int32_t (*openFile)(const char *, uint32_t, const Open *, uint32_t, uint32_t *);
static int32_t (*openCollection)(uint32_t, const char *, uint32_t, const Shape *, uint32_t,
                                 const char *, uint32_t, uint32_t *, uint32_t *);
static int32_t (*put)(uint32_t, const char *, uint32_t, const uint32_t *, uint32_t, const float *,
                      uint32_t, const char *, uint32_t, const uint32_t *, const double *,
                      const uint32_t *);
static int32_t (*get)(uint32_t, const char *, uint32_t, float *, uint32_t);
static int32_t (*delete)(uint32_t, const char *, uint32_t, const uint32_t *, uint32_t, uint32_t *);
static int32_t (*search)(uint32_t, const float *, uint32_t, uint32_t, double, uint32_t, uint32_t,
                         const char *, uint32_t, Hit *, uint32_t, uint32_t *, double *);
static int32_t (*fetch)(uint32_t, const Hit *, uint32_t, uint32_t, char *, uint32_t, uint32_t *,
                        float *, uint32_t);
static int32_t (*openJob)(uint32_t, uint32_t, const char *, uint32_t, uint32_t *);
static int32_t (*stepJob)(uint32_t, uint32_t, double *);

static void fail(const char *what, int32_t found) {
    char message[512] = "";
    uint32_t length = 0;
    if (lastError) lastError(message, sizeof message - 1, &length);
    fprintf(stderr, "open_library: %s: %d %s\n", what, (int)found, message);
    exit(1);
}

static void expect(const char *what, int32_t wanted, int32_t found) {
    if (wanted != found) fail(what, found);
}

static void *named(void *library, const char *name) {
    void *found = find(library, name);
    if (!found) fail(name, 0);
    return found;
}

static void loadFunctions(const char *path) {
    void *library = load(path);
    if (!library) fail(whyNot(), 0);
    abiVersion = named(library, "vl_abi_version");
    lastError = named(library, "vl_last_error");
    closeHandle = named(library, "vl_close");
    openFile = named(library, "vl_database_open");
    openCollection = named(library, "vl_collection_open");
    put = named(library, "vl_collection_put");
    get = named(library, "vl_collection_get");
    delete = named(library, "vl_collection_delete");
    search = named(library, "vl_collection_search");
    fetch = named(library, "vl_collection_fetch");
    openJob = named(library, "vl_job_open");
    stepJob = named(library, "vl_job_step");
    named(library, "napi_register_module_v1");
}

static uint32_t openDatabase(const char *path, uint32_t *collection) {
    Open how = {sizeof how, 2, 1, 1000, 0, 0, 0, 0};
    Shape shape = {sizeof shape, 1, dimension, 2, 64, 0};
    uint32_t database = 0, info[4] = {0};
    expect("open", ok, openFile(path, (uint32_t)strlen(path), &how, sizeof how, &database));
    expect("collection", ok, openCollection(database, "c", 1, &shape, sizeof shape, "", 0,
                                            collection, info));
    return database;
}

static void fill(float *vector, uint32_t row) {
    for (uint32_t i = 0; i < dimension; i += 1) vector[i] = (float)((row * 7 + i * 3) % 101);
    vector[row % dimension] += 1000;
}

static void putRows(uint32_t collection) {
    static char keys[rows * keyBytes + 1];
    static uint32_t lens[rows];
    static float vectors[rows][dimension];
    for (uint32_t row = 0; row < rows; row += 1) {
        snprintf(keys + row * keyBytes, keyBytes + 1, "k%03u", (unsigned)row);
        lens[row] = keyBytes;
        fill(vectors[row], row);
    }
    expect("put", ok, put(collection, keys, rows * keyBytes, lens, rows, vectors[0],
                          rows * dimension, "", 0, NULL, NULL, NULL));
}

static void readRows(uint32_t collection, uint32_t deleted) {
    static float vector[dimension], wanted[dimension];
    for (uint32_t row = 0; row < rows; row += 1) {
        char key[keyBytes + 1], entry[64];
        uint32_t count = 0, length = 0;
        double report[9];
        Hit hit;
        snprintf(key, sizeof key, "k%03u", (unsigned)row);
        fill(wanted, row);
        int32_t found = get(collection, key, keyBytes, vector, dimension);
        if (row == deleted) { expect("deleted", not_found, found); continue; }
        expect("get", ok, found);
        expect("the vector", 0, memcmp(vector, wanted, sizeof vector));
        expect("search", ok, search(collection, wanted, dimension, 1, NAN, row % 2, 0, "", 0,
                                    &hit, sizeof hit, &count, report));
        expect("hits", 1, (int32_t)count);
        found = fetch(collection, &hit, 1, 0, entry, sizeof entry, &length, vector, 0);
        if (found < 0) fail("fetch", found);
        int is_same = 0;
        for (uint32_t at = 0; at + keyBytes <= length; at += 1)
            is_same |= memcmp(entry + at, key, keyBytes) == 0;
        expect("the nearest", 1, is_same);
    }
}

static void verify(uint32_t database) {
    uint32_t job = 0;
    double progress[2];
    int32_t state;
    expect("verify", ok, openJob(database, 1, "", 0, &job));
    while ((state = stepJob(job, 1 << 20, progress)) == ok) {}
    expect("verified", 1, state);
    expect("close", ok, closeHandle(job));
}

int main(int count, char **arguments) {
    uint32_t collection, deleted = 0, length = keyBytes, row = 17;
    if (count != 3) fail("say <library> <database>", count);
    loadFunctions(arguments[1]);
    uint32_t database = openDatabase(arguments[2], &collection);
    putRows(collection);
    readRows(collection, rows);
    expect("delete", ok, delete(collection, "k017", keyBytes, &length, 1, &deleted));
    expect("rows deleted", 1, (int32_t)deleted);
    expect("close", ok, closeHandle(database));

    database = openDatabase(arguments[2], &collection);
    readRows(collection, row);
    verify(database);
    expect("close", ok, closeHandle(database));
    printf("ABI %u: %d vectors put, found and found again\n", (unsigned)abiVersion(), rows);
    return 0;
}
