// What llama.cpp makes of a GGUF of ours: compares its logits with those that Halftone computed, and tells a story.
// usage: node llamacpp.mjs MODEL.gguf halftone_logits.json [BARE.gguf]
//
// halftone_logits.json holds tokens and, for each of them, the logits that follow. llama.cpp rounds the inputs of
// quantized products to 8 bits; BARE.gguf is the same weights as F32, whose inputs it leaves alone, so that what is
// due to this rounding can be told from what is not. Prints one JSON line.
import {readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const PROMPT = "Once upon a time, a little fox";
const STORY_TOKENS = 40;

const [modelPath, logitsPath, barePath] = process.argv.slice(2);
const {tokens, logits: flat} = JSON.parse(readFileSync(logitsPath, "utf8"));
const vocabulary = flat.length / tokens.length;
const ours = tokens.map((_, i) => flat.slice(i * vocabulary, (i + 1) * vocabulary));
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 2});

async function logitsOf(path) {
    const model = await llama.loadModel({modelPath: path});
    const context = await model.createContext({contextSize: 256, batchSize: 64, threads: 2});
    const outputs = await context.getSequence()
        .controlledEvaluate(tokens.map((token) => [token, {generateNext: {logits: true}}]));
    const rows = outputs.map((output) => {
        const row = new Float64Array(vocabulary);
        output.next.logits.forEach((logit, token) => row[token] = logit);
        return row;
    });
    await context.dispose();
    const told = await story(model);
    await model.dispose();
    return {rows, story: told};
}

async function story(model) {
    const context = await model.createContext({contextSize: 256, batchSize: 64, threads: 2});
    const told = [];
    for await (const token of context.getSequence().evaluate(model.tokenize(PROMPT, false), {temperature: 0})) {
        told.push(token);
        if (told.length === STORY_TOKENS) break;
    }
    const text = model.detokenize(told);
    await context.dispose();
    return text;
}

function largestDifference(a, b) {
    let largest = 0;
    for (let i = 0; i < a.length; i++)
        for (let j = 0; j < a[i].length; j++)
            largest = Math.max(largest, Math.abs(a[i][j] - b[i][j]));
    return Number(largest.toPrecision(3));
}

const packed = await logitsOf(modelPath);
const result = {model: modelPath, tokens: tokens.length, against_halftone: largestDifference(packed.rows, ours)};
if (barePath !== undefined) {
    const bare = await logitsOf(barePath);
    result.bare_against_halftone = largestDifference(bare.rows, ours);
    result.its_rounding = largestDifference(packed.rows, bare.rows);
    result.same_story = packed.story === bare.story;
}
console.log(JSON.stringify({...result, story: packed.story}));
process.exit(0);
