/**
 * Our own lint rules, each with a hint. `deno lint` runs them: `deno.json` names this file.
 *
 * @module
 */

import { mayImport, mayUseHost, resolveImport, roomOf, ROOMS } from "./rooms.ts";

type Context = Deno.lint.RuleContext;

const ROOT = new URL("../", import.meta.url).pathname;

/** The linted file's path from the repository's root. */
function pathOf(context: Context): string {
  const name = decodeURI(context.filename.replace(/^file:\/\//, "").replaceAll("\\", "/"));
  const root = decodeURI(ROOT);
  return name.startsWith(root) ? name.slice(root.length) : name;
}

type Import =
  | Deno.lint.ImportDeclaration
  | Deno.lint.ImportExpression
  | Deno.lint.ExportNamedDeclaration
  | Deno.lint.ExportAllDeclaration;

/** Calls `visit` with each module that the file names, however it names it. */
function onImport(visit: (specifier: string, node: Import) => void): Deno.lint.LintVisitor {
  const see = (node: Import) => {
    const { source } = node;
    if (source?.type === "Literal" && typeof source.value === "string") visit(source.value, node);
  };
  return {
    ImportDeclaration: see,
    ExportNamedDeclaration: see,
    ExportAllDeclaration: see,
    ImportExpression: see,
  };
}

const rules: Record<string, Deno.lint.Rule> = {
  "import-direction": {
    create(context) {
      const path = pathOf(context);
      const from = roomOf(path);
      if (from === undefined) return {};
      return onImport((specifier, node) => {
        if (!specifier.startsWith(".")) return;
        const to = roomOf(resolveImport(path, specifier));
        if (to === undefined || mayImport(from, to)) return;
        context.report({
          node,
          message: `"${from.name}" must not import "${to.name}"`,
          hint: `Imports go one way: ${ROOMS.map((room) => room.name).join(" <- ")}. ` +
            "Move what is shared to the lower room, or pass it in as an argument",
        });
      });
    },
  },

  "no-foreign-import": {
    create(context) {
      return onImport((specifier, node) => {
        if (!/^(jsr:|npm:|https?:)/.test(specifier)) return;
        context.report({
          node,
          message: `Cannot import "${specifier}": modules come from npm, by their bare names`,
          hint: 'Add the package with its exact version to "imports" in deno.json',
        });
      });
    },
  },

  "no-host": {
    create(context) {
      if (mayUseHost(pathOf(context))) return {};
      const hint = "The library runs unchanged in a browser: take a byte source or a callback, " +
        "and let cli.ts provide it";
      return {
        ...onImport((specifier, node) => {
          if (!specifier.startsWith("node:")) return;
          context.report({ node, message: `Cannot import "${specifier}" in the library`, hint });
        }),
        "Identifier[name='Deno']"(node: Deno.lint.Identifier) {
          context.report({ node, message: 'Cannot use the global "Deno" in the library', hint });
        },
      };
    },
  },

  "no-gpu-objects": {
    create(context) {
      if (roomOf(pathOf(context))?.gpu ?? true) return {};
      const report = (node: Deno.lint.Node, name: string) =>
        context.report({
          node,
          message: `Cannot name "${name}" outside engine/gpu`,
          hint: "Use what engine/gpu exports, and add to it what is missing",
        });
      return {
        Identifier(node) {
          if (/^GPU($|[A-Z][a-z])/.test(node.name)) report(node, node.name);
        },
        MemberExpression(node) {
          if (
            node.object.type === "Identifier" && node.object.name === "navigator" &&
            node.property.type === "Identifier" && node.property.name === "gpu"
          ) report(node, "navigator.gpu");
        },
      };
    },
  },

  "no-exported-arrow": {
    create(context) {
      return {
        "ExportNamedDeclaration > VariableDeclaration > VariableDeclarator"(
          node: Deno.lint.VariableDeclarator,
        ) {
          if (node.init?.type !== "ArrowFunctionExpression") return;
          context.report({
            node,
            message: "An exported function must not be an arrow",
            hint: "Write `export function name()`: it is hoisted and has a name in stack traces",
          });
        },
      };
    },
  },

  "no-enum": {
    create(context) {
      return {
        TSEnumDeclaration(node) {
          context.report({
            node,
            message: "Enums are not used here",
            hint: "Use a union of string literals, or `keyof typeof table`",
          });
        },
      };
    },
  },

  "no-default-export": {
    create(context) {
      const report = (node: Deno.lint.Node) =>
        context.report({
          node,
          message: "Default exports are not used here",
          hint: "Export by name, so that every importer calls it the same",
        });
      return {
        ExportDefaultDeclaration: report,
        "ExportSpecifier[exported.name='default']": report,
      };
    },
  },

  "no-private-keyword": {
    create(context) {
      return {
        "[accessibility='private']"(node: Deno.lint.Node) {
          context.report({
            node,
            message: "`private` is not used here",
            hint: "Use a #private field: it is private at run time too",
          });
        },
      };
    },
  },
};

const plugin: Deno.lint.Plugin = { name: "hooktape", rules };

// deno-lint-ignore hooktape/no-default-export -- Deno finds a plugin by its default export
export default plugin;
