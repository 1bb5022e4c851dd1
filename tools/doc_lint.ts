/**
 * `deno doc --lint` of the library's door, but for one thing: zod schemas have no type
 * annotation. A schema is the one place where a shape of data is said; an annotation
 * would say it again.
 *
 * @module
 */

const { stderr } = await new Deno.Command(Deno.execPath(), {
  args: ["doc", "--quiet", "--lint", "mod.ts"],
  env: { NO_COLOR: "1" },
}).output();
const problems = new TextDecoder().decode(stderr)
  .split(/\n\n+(?=error\[)/)
  .filter((problem) => problem.startsWith("error["))
  .filter((problem) =>
    !(problem.startsWith("error[missing-explicit-type]") &&
      /Schema\b/.test(problem))
  );
for (const problem of problems) console.error(`${problem.trim()}\n`);
console.error(
  problems.length === 0 ? "documentation is complete" : `${problems.length} problems found`,
);
Deno.exit(problems.length === 0 ? 0 : 1);
