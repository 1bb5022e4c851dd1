/**
 * The commands and their options. What a command does is loaded only when it runs, so
 * that `--help` and wrong usage are answered at once.
 *
 * @module
 */

import { Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import manifest from "../deno.json" with { type: "json" };
import { exitCodesHelp } from "./failure.ts";
import { parseAblation, parseTrace } from "./node_spec.ts";

type SetExitCode = (code: number) => void;

const start = "deno task hooktape";

/**
 * The whole command line.
 *
 * @param setExitCode Called by a command that ran.
 */
export function createProgram(setExitCode: SetExitCode): Command {
  const program = new Command("hooktape")
    .description("Looks inside transformers: which heads, neurons, latents and tokens did it.")
    .version(manifest.version)
    .addHelpText("after", `\n${exitCodesHelp}`);
  // One function for each command.
  for (const add of [addDemo, addDebug, addDerive, addInfo, addServe]) add(program, setExitCode);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().showSuggestionAfterError().configureOutput({
      writeOut: (text) => console.log(text.trimEnd()),
      writeErr: (text) => console.error(text.trimEnd()),
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
    });
  }
  return program;
}

function addDemo(program: Command, setExitCode: SetExitCode): void {
  program.command("demo")
    .description("why the model that comes with this repository answers a prompt as it does")
    .addHelpText("after", example("demo"))
    .action(async () => {
      const { demo } = await import("./demo.ts");
      setExitCode(await demo());
    });
}

function addDebug(program: Command, setExitCode: SetExitCode): void {
  program.command("debug")
    .description("explains a prediction: the tokens, heads, neurons and latents behind it")
    .requiredOption("--model <folder>", "folder of the model")
    .addOption(
      new Option("--prompt <text>", "prompt; several are shown side by side")
        .argParser(collect).makeOptionMandatory(),
    )
    .option("--target <token>", "token whose logit is explained; repeatable", collect)
    .option("--distractor <token>", "token it is compared with; repeatable", collect)
    .option("--ablate <node>", "node to overwrite, with 0 or =VALUE; repeatable", collectAblation)
    .option("--trace <node>", "explain this node in place of a prediction", parseTrace)
    .option("--autoencoder <name>", "latents in place of neurons or heads; repeatable", collect)
    .option("--top <count>", "rows of the lists", parseCount, 10)
    .option("--json", "print one JSON document", false)
    .addHelpText("after", nodeHelp)
    .addHelpText(
      "after",
      example(
        'debug --model models/recall --prompt "river stone cloud river" \\\n' +
          '    --target " cloud" --distractor " ocean" --ablate attention_head:0.1@1',
      ),
    )
    .action(async (options: DebugArguments, command: Command) => {
      if (options.target === undefined && options.trace === undefined) {
        command.error("error: give a --target to explain a prediction, or a node to --trace");
      }
      if (options.target === undefined && options.distractor !== undefined) {
        command.error("error: a --distractor needs a --target to be compared with");
      }
      const { debug } = await import("./debug.ts");
      setExitCode(
        await debug({
          model: options.model,
          prompts: options.prompt,
          targets: options.target ?? [],
          distractors: options.distractor ?? [],
          ablations: options.ablate ?? [],
          trace: options.trace ?? null,
          autoencoders: options.autoencoder ?? [],
          top: options.top,
        }, { json: options.json }),
      );
    });
}

interface DebugArguments {
  readonly model: string;
  readonly prompt: string[];
  readonly target?: string[];
  readonly distractor?: string[];
  readonly ablate?: ReturnType<typeof parseAblation>[];
  readonly trace?: ReturnType<typeof parseTrace>;
  readonly autoencoder?: string[];
  readonly top: number;
  readonly json: boolean;
}

function addDerive(program: Command, setExitCode: SetExitCode): void {
  program.command("derive")
    .description("derives the scalars that request files ask for")
    .requiredOption("--model <folder>", "folder of the model")
    .requiredOption("--out <folder>", "where NAME.safetensors and NAME.json go for each NAME.json")
    .argument("<request.json...>", "requests, in the form of tests/golden/cases/*.json")
    .addHelpText("after", `\n${exitCodesHelp}`)
    .addHelpText("after", example("derive --model models/recall --out out request.json"))
    .action(async (files: string[], options: { model: string; out: string }, command: Command) => {
      const { derive, sameOutput } = await import("./derive.ts");
      const same = sameOutput(files);
      if (same !== undefined) {
        command.error(`error: results of "${same[0]}" and "${same[1]}" would have the same name`);
      }
      setExitCode(await derive(files, options));
    });
}

function addInfo(program: Command, setExitCode: SetExitCode): void {
  program.command("info")
    .description("the GPU, a model, and all slots and scalars there are")
    .option("--model <folder>", "folder of the model")
    .option("--json", "print one JSON document", false)
    .addHelpText("after", example("info --model models/recall"))
    .action(async (options: { model?: string; json: boolean }) => {
      const { info } = await import("./info.ts");
      setExitCode(await info(options));
    });
}

function example(command: string): string {
  return `\nExample:\n  ${start} ${command}`;
}

const nodeHelp = `
Nodes are TYPE:LAYER.INDEX[@TOKEN[,KEY]]; tokens count from 0, or from the end with -1:
  attention_head:1.3@7        head 3 of layer 1 at token 7: all that it writes there
  attention_head:1.3@7,2      only what it writes there from token 2
  mlp_neuron:0.17             neuron 17 of layer 0, at every token
  mlp_autoencoder_latent:1.30@5=2.5, attention_autoencoder_latent:...
To trace, the tokens must be given: mlp_neuron:1.17@5, or attention_head:1.3@7,2:QK for the
score of a head (through its query, its key or both: Q, K, QK) or what it moves (V, with --target).

${exitCodesHelp}`;

function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}

function collectAblation(value: string, previous: ReturnType<typeof parseAblation>[] = []) {
  return [...previous, parseAblation(value)];
}

const countSchema = z.coerce.number().pipe(z.int().min(1));

function parseCount(text: string): number {
  const parsed = countSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError("It must be an integer, at least 1");
}

function addServe(program: Command, setExitCode: SetExitCode): void {
  program.command("serve")
    .description("answers the debugger's JSON requests over HTTP until it is interrupted")
    .requiredOption("--model <folder>", "folder of the model")
    .option("--autoencoder <name>", "spliced into every run; repeatable", collect)
    .option("--port <port>", "port", parsePort, 8000)
    .option("--host <address>", "address to listen at", "127.0.0.1")
    .addHelpText("after", example("serve --model models/recall --port 8000"))
    .action(async ({ autoencoder = [], ...options }) => {
      const { serve } = await import("./serve.ts");
      setExitCode(await serve({ ...options, autoencoders: autoencoder }));
    });
}

function parsePort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port < 65_536) return port;
  throw new InvalidArgumentError("It must be a number from 0 to 65535.");
}
