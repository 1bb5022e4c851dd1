import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  folderOf,
  memoryFolder,
  readJson,
  readText,
  type SourceFolder,
} from "../../../engine/model/source.ts";

const content = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);
const files: Record<string, Uint8Array> = {
  "data.bin": content,
  "empty.bin": new Uint8Array(),
  "sub folder/ü#1.txt": new TextEncoder().encode("grüße"),
};

/** Runs a test on a local folder with these files. */
async function withLocalFolder(test: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), "hooktape-"));
  try {
    await mkdir(join(path, "sub folder"));
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(path, name), bytes);
    await test(path);
  } finally {
    await rm(path, { recursive: true });
  }
}

/** Runs a test on a server that has these files at `/models/`. */
async function withServer(
  { ranges }: { ranges: boolean },
  test: (url: URL, requests: string[]) => Promise<void>,
): Promise<void> {
  const requests: string[] = [];
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const path = decodeURIComponent(new URL(request.url).pathname).replace(/^\/models\//, "");
    const range = request.headers.get("range");
    requests.push(`${path} ${range}`);
    const bytes = files[path];
    if (path === "secret.bin") return new Response("no", { status: 403, statusText: "Forbidden" });
    if (bytes === undefined) return new Response("not found", { status: 404 });
    if (!ranges) return new Response(new Uint8Array(bytes));
    const [begin, end] = range!.replace("bytes=", "").split("-").map(Number) as [number, number];
    const size = bytes.length;
    if (begin >= size) {
      return new Response("", { status: 416, headers: { "content-range": `bytes */${size}` } });
    }
    return new Response(new Uint8Array(bytes.subarray(begin, end + 1)), {
      status: 206,
      headers: { "content-range": `bytes ${begin}-${Math.min(end, size - 1)}/${size}` },
    });
  });
  await test(new URL(`http://127.0.0.1:${server.addr.port}/models`), requests);
}

/** What every kind of folder must do. */
async function checkFolder(folder: SourceFolder): Promise<void> {
  const source = (await folder.open("data.bin"))!;
  assert.equal(source.size, 1000);
  assert.ok(source.name.endsWith("data.bin"));
  assert.deepEqual(await source.read(0, 1000), content);
  assert.deepEqual(await source.read(3, 5), content.slice(3, 8));
  assert.deepEqual(await source.read(999, 1), content.slice(999));
  assert.deepEqual(await source.read(1000, 0), new Uint8Array());
  for (const [offset, length] of [[0, 1001], [1000, 1], [-1, 2], [0, -1], [0.5, 1], [NaN, 1]]) {
    await assert.rejects(source.read(offset!, length!), (error) => {
      assert.ok(error instanceof RangeError);
      assert.match(error.message, /data\.bin": the file has 1000 bytes$/);
      return true;
    });
  }
  const into = new Uint8Array(7).subarray(1, 6);
  assert.deepEqual(await source.read(3, 5, { into }), content.slice(3, 8));
  const again = await source.read(0, 2);
  again.fill(99);
  assert.deepEqual(await source.read(0, 2), content.slice(0, 2));

  const empty = (await folder.open("empty.bin"))!;
  assert.equal(empty.size, 0);
  assert.deepEqual(await empty.read(0, 0), new Uint8Array());

  assert.equal(await readText((await folder.open("sub folder/ü#1.txt"))!), "grüße");
  assert.equal(await folder.open("absent.bin"), undefined);
  assert.equal(await folder.open("data.bin/absent.bin"), undefined);
  for (
    const path of ["../data.bin", "/data.bin", "sub folder/../data.bin", "", "a\\..\\b", "C:x"]
  ) {
    await assert.rejects(folder.open(path), { name: "TypeError", message: /^Cannot open/ });
  }
}

Deno.test("memoryFolder() opens and lists files in memory", async () => {
  const folder = memoryFolder(files);
  await checkFolder(folder);
  assert.deepEqual(await folder.list!(""), ["data.bin", "empty.bin", "sub folder"]);
  assert.deepEqual(await folder.list!("sub folder"), ["ü#1.txt"]);
  assert.deepEqual(await folder.list!("absent"), []);
});

Deno.test("folderOf() opens and lists a local folder, by path and by URL", async (t) => {
  await withLocalFolder(async (path) => {
    for (const place of [path, `${path}/`, pathToFileURL(path), String(pathToFileURL(path))]) {
      await t.step(String(place).replace(path, "folder"), async () => {
        const folder = folderOf(place);
        await checkFolder(folder);
        assert.equal(await folder.open("sub folder"), undefined);
        assert.deepEqual(await folder.list!(""), ["data.bin", "empty.bin", "sub folder"]);
        assert.deepEqual(await folder.list!("sub folder"), ["ü#1.txt"]);
        assert.deepEqual(await folder.list!("absent"), []);
      });
    }
    for (const absent of ["absent", "data.bin"]) {
      assert.equal(await folderOf(`${path}/${absent}`).open("data.bin"), undefined);
      assert.deepEqual(await folderOf(`${path}/${absent}`).list!(""), []);
    }
  });
});

Deno.test("folderOf() refuses a local file that became shorter", async () => {
  await withLocalFolder(async (path) => {
    const source = (await folderOf(path).open("data.bin"))!;
    await writeFile(join(path, "data.bin"), content.subarray(0, 10));
    await assert.rejects(source.read(0, 20), /data\.bin": it changed while it was read$/);
  });
});

Deno.test("folderOf() reads a web server by Range requests", async () => {
  await withServer({ ranges: true }, async (url, requests) => {
    await checkFolder(folderOf(url));
    await checkFolder(folderOf(`${url}/`));
    requests.length = 0;
    const source = (await folderOf(url).open("data.bin"))!;
    await source.read(10, 20);
    assert.deepEqual(requests, ["data.bin bytes=0-0", "data.bin bytes=10-29"]);
  });
});

Deno.test("folderOf() reads files whole where the server ignores Range", async () => {
  await withServer({ ranges: false }, async (url, requests) => {
    await checkFolder(folderOf(url));
    requests.length = 0;
    const source = (await folderOf(url).open("data.bin"))!;
    await source.read(10, 20);
    assert.deepEqual(requests, ["data.bin bytes=0-0"]);
  });
});

Deno.test("folderOf() says what a web server answered instead of the file", async () => {
  await withServer({ ranges: true }, async (url) => {
    await assert.rejects(
      folderOf(url).open("secret.bin"),
      /^Error: Cannot read "http.*\/models\/secret\.bin": .* current status is 403 Forbidden$/,
    );
  });
});

Deno.test("folderOf() names the URL of a server that does not answer", async () => {
  // Port 9 is that of the discard service, which nobody runs.
  await assert.rejects(
    folderOf("http://127.0.0.1:9/models").open("config.json"),
    /Cannot read "http:\/\/127\.0\.0\.1:9\/models\/config\.json": /,
  );
});

Deno.test("folderOf() refuses URLs of other protocols", () => {
  assert.throws(() => folderOf(new URL("ftp://example.com/models")), {
    name: "TypeError",
    message: /file, http or https, current protocol is "ftp:"$/,
  });
});

Deno.test("readText() and readJson() name the file that is not what it should be", async () => {
  const folder = memoryFolder({
    "bytes.json": Uint8Array.of(0xff),
    "text.json": new TextEncoder().encode("{,}"),
    "good.json": new TextEncoder().encode('{"a":[1]}'),
  });
  await assert.rejects(readText((await folder.open("bytes.json"))!), {
    name: "SyntaxError",
    message: 'Cannot read "bytes.json": it is not UTF-8',
  });
  await assert.rejects(readJson((await folder.open("text.json"))!), {
    name: "SyntaxError",
    message: /^Cannot read "text\.json": it is not JSON: /,
  });
  assert.deepEqual(await readJson((await folder.open("good.json"))!), { a: [1] });
});
