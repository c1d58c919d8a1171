/**
 * A full disk, a real one: a small tmpfs where the machine lets us mount it, and a file size limit.
 */

import { execFileSync } from "node:child_process";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Database, EmbedCache } from "vectorlite";
import { describe, expect, onTestFinished, type TestContext, test } from "vitest";
import { expectCode, skipAloud, temporaryFolder } from "./helpers.ts";

/** A folder on a disk of 4 MiB. */
function smallDisk(context: TestContext): string {
  const folder = temporaryFolder();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    skipAloud(context, "this machine does not let us mount a small tmpfs");
  }
  onTestFinished(() => {
    execFileSync("umount", ["-l", folder]);
  });
  return folder;
}

describe("a full disk", () => {
  test.for(["full", "normal", "none"] as const)(
    "under %s loses nothing that was committed, and goes on when there is room again",
    (durability, context) => {
      const folder = smallDisk(context);
      const path = join(folder, "a.vl");
      const db = new Database(path, { durability });
      const docs = db.collection("docs", { dimension: 256, metric: "l2" });
      let written = 0;
      const error = expectCode(() => {
        for (; written < 10_000; written++) {
          docs.upsert(`key ${written}`, new Float32Array(256).fill(written));
        }
      }, "ERR_NO_SPACE");
      expect(error.message).toContain("space");
      expect(written).toBeGreaterThan(1000);
      expect(docs.size).toBe(written);
      expect(docs.has(`key ${written}`)).toBe(false);
      expect(docs.getVector(`key ${written - 1}`)?.[0]).toBe(written - 1);
      for (let n = 0; n < 500; n++) docs.getVector(`key ${n}`);
      expectCode(
        () =>
          db.transaction(() => {
            for (let n = 0; n < 5000; n++) docs.upsert(`more ${n}`, new Float32Array(256));
          }),
        "ERR_NO_SPACE",
      );
      expect(docs.size).toBe(written);
      execFileSync("mount", ["-o", "remount,size=8m", folder]);
      docs.upsert("afterwards", new Float32Array(256).fill(7));
      db.close();
      using again = new Database(path);
      expect(again.collection("docs").size).toBe(written + 1);
      expect(again.collection("docs").getVector("afterwards")?.[0]).toBe(7);
      for (let n = 0; n < written; n += 97) {
        expect(again.collection("docs").getVector(`key ${n}`)?.[0]).toBe(n);
      }
    },
  );

  test("from the start is one clear error", (context) => {
    const folder = smallDisk(context);
    const free = 4 * 1024 * 1024 - 8192;
    writeFileSync(join(folder, "ballast"), Buffer.alloc(free));
    expect(statSync(join(folder, "ballast")).size).toBe(free);
    expectCode(
      () => new EmbedCache({ path: join(folder, "a.cache"), dimension: 8 }),
      "ERR_NO_SPACE",
    );
  });

  test("stops a backup and leaves no half of a copy", async (context) => {
    const folder = smallDisk(context);
    const db = new Database(join(temporaryFolder(), "a.vl"));
    const docs = db.collection("docs", { dimension: 1024 });
    docs.upsertMany(
      Array.from({ length: 2000 }, (_, n) => `${n}`),
      new Float32Array(1024 * 2000).fill(1),
    );
    const path = join(folder, "copy.vl");
    await expect(db.backup(path)).rejects.toMatchObject({ code: "ERR_NO_SPACE" });
    expect(() => statSync(path)).toThrow(/ENOENT/);
    expect(docs.size).toBe(2000);
    db.close();
  });
});
