/**
 * Files that are not ours, newer than us, cut off or damaged: each read gives the right data or a
 * VectorLiteError, never a wrong vector, a crash or a hang.
 */

import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Database, EmbedCache, VectorLiteError } from "vectorlite";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  closing,
  expectCode,
  randomVectors,
  seededRandom,
  skipAloud,
  temporaryFolder,
  temporaryPath,
} from "./helpers.ts";

const dimension = 16;
const count = 30;
const vectors = randomVectors(70, count, dimension);

/**
 * A file with 30 records, some replaced, some deleted, in several commits. The last commits change
 * nothing that can be read, because a damaged root slot looks like a commit that a crash cut off:
 * the state before it is then the right one.
 */
function writeFile(path: string): void {
  using db = new Database(path);
  const docs = db.collection("docs", { dimension, model: "m" });
  for (let n = 0; n < count; n += 10) {
    docs.upsert(`key ${n}`, vectors[1] as Float32Array, { old: true });
    docs.upsert(`gone ${n}`, vectors[n] as Float32Array);
  }
  docs.upsertMany(
    vectors.map((vector, n) => ({ key: `key ${n}`, vector, metadata: { n, text: `text ${n}` } })),
  );
  for (let n = 0; n < count; n += 10) docs.delete(`gone ${n}`);
  for (let commit = 0; commit < 6; commit++) {
    docs.upsert("key 0", vectors[0] as Float32Array, { n: 0, text: "text 0" });
  }
}

/** Reads everything in every way; what comes must be right. Returns how many reads failed. */
function readEverything(open: () => Database): number {
  let failures = 0;
  const attempt = (read: () => void): void => {
    try {
      read();
    } catch (error) {
      if (!(error instanceof VectorLiteError)) throw error;
      if (error.code === "ERR_INVALID_VECTOR" || error.message.length < 20) throw error;
      failures++;
    }
  };
  attempt(() => {
    using db = open();
    attempt(() => db.stats());
    attempt(() => db.collections());
    const docs = db.collection<{ n: number; text: string }>("docs");
    const check = (key: string, vector: Float32Array, metadata?: { n: number }): void => {
      const n = Number(key.slice(4));
      const right = vectors[n]?.every((number, index) => number === vector[index]);
      const named = metadata === undefined || (metadata.n === n && key === `key ${n}`);
      if (right !== true || !named) expect.unreachable(`a wrong answer for ${key}`);
    };
    for (let n = 0; n < count; n += 7) {
      attempt(() => {
        const key = `key ${n}`;
        const vector = docs.getVector(key);
        if (vector === undefined) expect.unreachable(`${key} is said to be missing`);
        check(key, vector);
      });
      attempt(() => {
        const record = docs.get(`key ${n}`);
        if (record !== undefined) check(record.key, record.vector, record.metadata);
      });
      attempt(() => {
        if (docs.has("gone 10")) expect.unreachable("a deleted key is back");
      });
    }
    attempt(() => {
      for (const { key, vector, metadata } of docs.entries()) check(key, vector, metadata);
    });
    attempt(() => {
      const query = vectors[7] as Float32Array;
      for (const hit of docs.search(query, { k: 5, include: ["vector", "metadata"] })) {
        check(hit.key, hit.vector, hit.metadata);
      }
    });
  });
  return failures;
}

describe("a file that is not ours", () => {
  test.each([
    ["text", "Once upon a time there was a file that was no database. ".repeat(2000)],
    ["a SQLite database", `SQLite format 3\0${"\0".repeat(100_000)}`],
    ["zeros", "\0".repeat(100_000)],
    ["one byte", "x"],
    ["our magic and nothing else", "VectorLite file\0"],
    ["our magic and rubbish", `VectorLite file\0${"rubbish ".repeat(10_000)}`],
  ])("%s is refused and left alone", (_, content) => {
    const path = temporaryPath();
    writeFileSync(path, content);
    for (const open of [
      () => new Database(path),
      () => new Database(path, { readonly: true }),
      () => new EmbedCache({ path }),
      () => Database.fromBytes(Buffer.from(content)),
    ]) {
      expect(() => open()).toThrow(VectorLiteError);
      expect(() => open()).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_(NOT_A_DATABASE|CORRUPT)$/) }),
      );
    }
    expect(readFileSync(path, "latin1")).toBe(content);
  });

  test("random bytes are refused", () => {
    const random = seededRandom(71);
    for (const length of [1, 511, 512, 4096, 32_768, 70_000]) {
      const bytes = Uint8Array.from({ length }, () => random() * 256);
      expectCode(() => Database.fromBytes(bytes), "ERR_NOT_A_DATABASE");
    }
  });

  test("a folder is refused", () => {
    const folder = temporaryFolder();
    expectCode(() => new Database(folder), "ERR_NOT_A_DATABASE");
    expectCode(() => new EmbedCache({ path: folder, readonly: true }), "ERR_NOT_A_DATABASE");
  });

  test("a device is refused", (context) => {
    if (process.platform === "win32") skipAloud(context, "Windows has no /dev");
    for (const path of ["/dev/null", "/dev/zero"]) {
      expect(() => new Database(path)).toThrow(VectorLiteError);
    }
  });

  test("a symbolic link that leads in a circle is refused", (context) => {
    if (process.platform === "win32") skipAloud(context, "links need a privilege on Windows");
    const path = temporaryPath();
    symlinkSync(path, path);
    expectCode(() => new Database(path), "ERR_IO");
  });

  test("in a folder that is not there, or is a file", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "file"), "");
    const missing = expectCode(() => new Database(join(folder, "no", "a.vl")), "ERR_IO");
    expect(missing.message).toContain(join(folder, "no", "a.vl"));
    expect(() => new Database(join(folder, "file", "a.vl"))).toThrow(VectorLiteError);
  });

  test("without permission", (context) => {
    if (process.getuid?.() === 0) skipAloud(context, "root may open anything");
    const folder = temporaryFolder();
    const path = join(folder, "a.vl");
    writeFile(path);
    chmodSync(path, 0o000);
    expectCode(() => new Database(path), "ERR_IO");
    mkdirSync(join(folder, "locked"));
    chmodSync(join(folder, "locked"), 0o500);
    onTestFinished(() => chmodSync(join(folder, "locked"), 0o700));
    expectCode(() => new Database(join(folder, "locked", "a.vl")), "ERR_IO");
  });
});

/** SipHash-2-4 with 128 bits, the checksum of the header (docs/file-format.md). */
function slotChecksum(bytes: Uint8Array): Uint8Array {
  const mask = (1n << 64n) - 1n;
  const rotate = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & mask;
  const key = Buffer.from("VectorLite slot.");
  const [k0, k1] = [key.readBigUInt64LE(0), key.readBigUInt64LE(8)];
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn ^ 0xeen;
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const rounds = (count: number): void => {
    for (let round = 0; round < count; round++) {
      v0 = (v0 + v1) & mask;
      v1 = rotate(v1, 13n) ^ v0;
      v0 = rotate(v0, 32n);
      v2 = (v2 + v3) & mask;
      v3 = rotate(v3, 16n) ^ v2;
      v0 = (v0 + v3) & mask;
      v3 = rotate(v3, 21n) ^ v0;
      v2 = (v2 + v1) & mask;
      v1 = rotate(v1, 17n) ^ v2;
      v2 = rotate(v2, 32n);
    }
  };
  const padded = Buffer.alloc((Math.floor(bytes.length / 8) + 1) * 8);
  padded.set(bytes);
  padded[padded.length - 1] = bytes.length & 0xff;
  for (let offset = 0; offset < padded.length; offset += 8) {
    const word = padded.readBigUInt64LE(offset);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  const out = Buffer.alloc(16);
  v2 ^= 0xeen;
  rounds(4);
  out.writeBigUInt64LE(v0 ^ v1 ^ v2 ^ v3, 0);
  v1 ^= 0xddn;
  rounds(4);
  out.writeBigUInt64LE(v0 ^ v1 ^ v2 ^ v3, 8);
  return out;
}

describe("a file of a newer version", () => {
  test("is refused with ERR_VERSION and left alone", () => {
    const path = temporaryPath();
    writeFile(path);
    const bytes = readFileSync(path);
    for (const start of [0, 7 * 4096]) {
      const header = bytes.subarray(start, start + 512);
      header.writeUInt16LE(2, 16);
      header.set(slotChecksum(header.subarray(0, 496)), 496);
    }
    writeFileSync(path, bytes);
    const error = expectCode(() => new Database(path), "ERR_VERSION");
    expect(error.message).toMatch(/2/);
    expectCode(() => new Database(path, { readonly: true }), "ERR_VERSION");
    expectCode(() => Database.fromBytes(bytes), "ERR_VERSION");
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });
});

describe("a file that was cut off", () => {
  test("at any place gives the right data or an error", () => {
    const path = temporaryPath();
    writeFile(path);
    const bytes = readFileSync(path);
    let damaged = 0;
    const step = Math.max(1, Math.floor(bytes.length / 150)) | 1;
    for (let length = 1; length < bytes.length; length += step) {
      if (readEverything(() => Database.fromBytes(bytes.subarray(0, length))) > 0) damaged++;
    }
    expect(damaged).toBeGreaterThan(0);
    expect(readEverything(() => Database.fromBytes(bytes))).toBe(0);
  });

  test("at a page boundary gives the right data or an error when it is a file", () => {
    const original = temporaryPath();
    writeFile(original);
    const length = readFileSync(original).length;
    const path = temporaryPath();
    for (let kept = 0; kept < length; kept += 4096) {
      for (const readonly of [true, false]) {
        copyFileSync(original, path);
        truncateSync(path, kept);
        if (kept === 0 && !readonly) continue;
        readEverything(() => new Database(path, readonly ? { readonly } : { create: false }));
      }
    }
  });

  test("while it is searched fails, and searches find all again once the bytes are back", () => {
    const path = temporaryPath();
    writeFile(path);
    const bytes = readFileSync(path);
    const docs = closing(new Database(path, { readonly: true })).collection("docs");
    const query = vectors[3] as Float32Array;
    const best = docs.search(query, { k: 5, exact: true });
    truncateSync(path, 4096);
    expectCode(() => docs.search(query, { k: 5, exact: true }), "ERR_CORRUPT");
    writeFileSync(path, bytes, { flag: "r+" });
    for (const exact of [true, false]) {
      expect(docs.search(query, { k: 5, exact })).toEqual(best);
    }
  });

  // What is mapped and then cut off raises SIGBUS at the next touch, which used to end the process.
  test.each([0, 1, 4096, 32_768, 0.25, 0.5, 0.9])(
    "to %d while it is open gives the right data or an error, never a crash",
    (kept) => {
      const path = temporaryPath();
      writeFile(path);
      const length = readFileSync(path).length;
      const docs = closing(new Database(path, { readonly: true })).collection("docs");
      const searched = closing(new Database(path)).collection("docs");
      const query = vectors[3] as Float32Array;
      // All of it is mapped once it was searched, or read often.
      for (let round = 0; round < 6; round++) {
        for (let n = 0; n < count; n++) expect(docs.getVector(`key ${n}`)).toEqual(vectors[n]);
      }
      const best = searched.search(query, { k: 1 });
      truncateSync(path, kept < 1 ? Math.floor(length * kept) : kept);
      let failures = 0;
      const attempt = (read: () => void): void => {
        try {
          read();
        } catch (error) {
          if (!(error instanceof VectorLiteError)) throw error;
          failures++;
        }
      };
      for (let round = 0; round < 2; round++) {
        for (let n = 0; n < count; n++) {
          attempt(() => expect(docs.getVector(`key ${n}`)).toEqual(vectors[n]));
        }
        attempt(() => expect([...docs.keys()].filter((key) => key !== "late").length).toBe(count));
        attempt(() => expect(searched.search(query, { k: 1 })).toEqual(best));
        attempt(() => searched.upsert("late", query));
      }
      // The last tenth has room for rows to come, and nothing else.
      if (kept < 0.9 || kept >= 1) expect(failures).toBeGreaterThan(0);
    },
  );
});

describe("a file with damage", () => {
  test("of one bit at every 64th byte gives the right data or an error", () => {
    const path = temporaryPath();
    writeFile(path);
    const bytes = readFileSync(path);
    const random = seededRandom(72);
    let noticed = 0;
    for (let offset = 0; offset < bytes.length; offset += 64) {
      // An unused page is all zeros; one damage in it stands for all.
      const page = bytes.subarray(offset, Math.ceil((offset + 1) / 4096) * 4096);
      if (offset % 4096 > 0 && page.every((byte) => byte === 0)) continue;
      const place = offset + Math.floor(random() * 64);
      const bit = 1 << Math.floor(random() * 8);
      const before = bytes[place] ?? 0;
      bytes[place] = before ^ bit;
      if (readEverything(() => Database.fromBytes(bytes)) > 0) noticed++;
      bytes[place] = before;
    }
    expect(noticed).toBeGreaterThan(0);
    expect(readEverything(() => Database.fromBytes(bytes))).toBe(0);
  });

  test("of a whole page gives the right data or an error", () => {
    const path = temporaryPath();
    writeFile(path);
    const bytes = readFileSync(path);
    const random = seededRandom(73);
    for (let page = 0; page < bytes.length / 4096; page++) {
      for (const kind of ["zeros", "noise", "another page"] as const) {
        const damaged = Uint8Array.from(bytes);
        const target = damaged.subarray(page * 4096, (page + 1) * 4096);
        const unused = target.every((byte) => byte === 0);
        if (unused && (kind !== "noise" || page % 8 > 0)) continue;
        if (kind === "zeros") target.fill(0);
        else if (kind === "noise") target.set(target.map(() => random() * 256));
        else target.set(bytes.subarray(9 * 4096, 10 * 4096).subarray(0, target.length));
        readEverything(() => Database.fromBytes(damaged));
      }
    }
  });

  test("is told with ERR_CORRUPT where a vector is damaged, and other keys stay readable", () => {
    const path = temporaryPath();
    const marked = new Float32Array(dimension).fill(1.2345678);
    {
      using db = new Database(path);
      const docs = db.collection("docs", { dimension });
      docs.upsert("fine", vectors[0] as Float32Array);
      docs.upsert("damaged", marked);
    }
    const bytes = readFileSync(path);
    const place = bytes.indexOf(Buffer.from(marked.buffer));
    expect(place).toBeGreaterThan(0);
    bytes[place + 5] = (bytes[place + 5] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    using db = new Database(path);
    const docs = db.collection("docs");
    const error = expectCode(() => docs.getVector("damaged"), "ERR_CORRUPT");
    expect(error.message).toMatch(/\d/);
    expect(docs.getVector("fine")).toEqual(vectors[0]);
  });

  test("can be written to, or says why not, and never mixes things up", () => {
    const original = temporaryPath();
    writeFile(original);
    const pristine = readFileSync(original);
    const random = seededRandom(74);
    const path = temporaryPath();
    for (let round = 0; round < 60; round++) {
      const bytes = Buffer.from(pristine);
      const place = Math.floor(random() * bytes.length);
      bytes[place] = (bytes[place] ?? 0) ^ (1 << Math.floor(random() * 8));
      writeFileSync(path, bytes);
      try {
        using db = new Database(path, { durability: "none" });
        const docs = db.collection("docs");
        for (let n = 0; n < count; n += 3)
          docs.upsert(`key ${n}`, vectors[n] as Float32Array, { n });
        docs.upsert("key 29", vectors[29] as Float32Array, { n: 29 });
      } catch (error) {
        if (!(error instanceof VectorLiteError)) throw error;
      }
      readEverything(() => new Database(path, { create: false }));
    }
  });
});
