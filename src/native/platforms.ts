/**
 * Where the library of each platform lies, spelled out.
 *
 * Every path here is a literal in an if/else on purpose. Tools that trace files (`@vercel/nft`)
 * follow `new URL("literal", import.meta.url)`; `bun build --compile` puts what
 * `module.require("literal")` names into the executable, and drops the branches of other platforms.
 * `module.require` rather than `require`, because esbuild rewrites the latter to a call that Bun no
 * longer recognises. The paths of `../platforms` are seen from `dist/`, those of `../../zig-out`
 * from this folder.
 *
 * @module
 */

/** The library in the installed package; it may be missing. */
export function packagedLibrary(): URL | undefined {
  if (process.platform === "linux") {
    if (process.arch === "x64") {
      return new URL("../platforms/linux-x64/libvectorlite.so", import.meta.url);
    } else if (process.arch === "arm64") {
      return new URL("../platforms/linux-arm64/libvectorlite.so", import.meta.url);
    }
  } else if (process.platform === "darwin") {
    if (process.arch === "x64") {
      return new URL("../platforms/darwin-x64/libvectorlite.dylib", import.meta.url);
    } else if (process.arch === "arm64") {
      return new URL("../platforms/darwin-arm64/libvectorlite.dylib", import.meta.url);
    }
  } else if (process.platform === "win32") {
    if (process.arch === "x64") {
      return new URL("../platforms/win32-x64/vectorlite.dll", import.meta.url);
    } else if (process.arch === "arm64") {
      return new URL("../platforms/win32-arm64/vectorlite.dll", import.meta.url);
    }
  }
  return undefined;
}

/**
 * The library that Bun's bundler put into this executable or beside this bundle.
 *
 * @returns A path, relative to `import.meta.url` beside a bundle; undefined outside of both.
 */
export function bundledLibrary(): string | undefined {
  return bundledFromPackage() ?? bundledFromSource();
}

function bundledFromPackage(): string | undefined {
  try {
    if (process.platform === "linux") {
      if (process.arch === "x64") {
        return module.require("../platforms/linux-x64/libvectorlite.so");
      } else if (process.arch === "arm64") {
        return module.require("../platforms/linux-arm64/libvectorlite.so");
      }
    } else if (process.platform === "darwin") {
      if (process.arch === "x64") {
        return module.require("../platforms/darwin-x64/libvectorlite.dylib");
      } else if (process.arch === "arm64") {
        return module.require("../platforms/darwin-arm64/libvectorlite.dylib");
      }
    } else if (process.platform === "win32") {
      if (process.arch === "x64") {
        return module.require("../platforms/win32-x64/vectorlite.dll");
      } else if (process.arch === "arm64") {
        return module.require("../platforms/win32-arm64/vectorlite.dll");
      }
    }
  } catch {
    // Not bundled with Bun, or bundled where the package has no such file.
  }
  return undefined;
}

/** For an application that is compiled against a checkout of this repository. */
function bundledFromSource(): string | undefined {
  try {
    if (process.platform === "linux") {
      return module.require("../../zig-out/lib/libvectorlite.so");
    } else if (process.platform === "darwin") {
      return module.require("../../zig-out/lib/libvectorlite.dylib");
    } else if (process.platform === "win32") {
      return module.require("../../zig-out/lib/vectorlite.dll");
    }
  } catch {
    // As above.
  }
  return undefined;
}
