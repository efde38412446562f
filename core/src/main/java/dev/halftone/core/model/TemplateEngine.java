package dev.halftone.core.model;

import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.LegacyOverrides;
import com.hubspot.jinjava.interpret.Context;
import com.hubspot.jinjava.interpret.Context.Library;
import com.hubspot.jinjava.interpret.InterpreterFactory;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.interpret.RenderResult;
import com.hubspot.jinjava.interpret.TemplateError;
import com.hubspot.jinjava.lib.Importable;
import com.hubspot.jinjava.lib.SimpleLibrary;
import com.hubspot.jinjava.lib.exptest.ExpTestLibrary;
import com.hubspot.jinjava.lib.filter.FilterLibrary;
import com.hubspot.jinjava.lib.fn.ELFunctionDefinition;
import com.hubspot.jinjava.lib.fn.FunctionLibrary;
import com.hubspot.jinjava.lib.tag.TagLibrary;
import com.hubspot.jinjava.tree.output.RenderedOutputNode;
import dev.halftone.core.model.TemplateValues.InvalidArgument;
import java.time.Clock;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Jinjava, set to render as transformers renders with Jinja, and fenced in: a template comes with a download and is
/// not trusted. Values are plain data behind [TemplateValues]; only the tags, filters, tests and functions named here
/// exist; output, loops, lists and steps are limited; nothing rendered is interpreted again; any complaint of the
/// engine is an exception.
final class TemplateEngine {
    /// Characters of output, and of any text made on the way.
    private static final int MAXIMUM_LENGTH = 1 << 24;

    private static final int MAXIMUM_ITEMS = 100_000;
    /// Nodes rendered, counted anew in each pass of a loop.
    private static final int MAXIMUM_STEPS = 500_000;

    private static final int MAXIMUM_RECURSION = 40;

    /// Why the steps after an error are not taken.
    private static final String AFTER_ERROR = "an error came before";

    private static final Set<String> TAGS =
            Set.of("if", "elif", "else", "set", "macro", "call", "break", "continue", "for", "generation");

    private static final Set<String> FILTERS = Set.of(
            "trim",
            "upper",
            "lower",
            "length",
            "count",
            "replace",
            "title",
            "capitalize",
            "indent",
            "reverse",
            "list",
            "int",
            "float",
            "abs",
            "round",
            "sum",
            "sort",
            "join",
            "map",
            "select",
            "reject",
            "selectattr",
            "rejectattr",
            "unique",
            "tojson",
            "first",
            "last",
            "min",
            "max",
            "default",
            "d",
            "string",
            "items",
            "safe",
            TemplateSource.REVERSED);

    private static final Set<String> TESTS = Set.of(
            "defined",
            "undefined",
            "none",
            "string",
            "mapping",
            "iterable",
            "sequence",
            "number",
            "integer",
            "float",
            "boolean",
            "true",
            "false",
            "odd",
            "even",
            "divisibleby",
            "equalto",
            "eq",
            "==",
            "ne",
            "!=",
            "in",
            "lower",
            "upper",
            "gt",
            "ge",
            "lt",
            "le",
            ">",
            ">=",
            "<",
            "<=",
            "sameas");

    private static final Set<String> FUNCTIONS = Set.of(":range", ":namespace");

    private static final Set<String> CALLABLE = Set.of("range", "namespace", "raise_exception", "strftime_now");

    private static final Pattern QUOTED =
            Pattern.compile("'(?:\\\\.|[^'\\\\])*'|\"(?:\\\\.|[^\"\\\\])*\"", Pattern.DOTALL);
    private static final Pattern CODE = Pattern.compile("\\{[{%](.*?)[%}]\\}", Pattern.DOTALL);
    private static final Pattern FILTER_USED = Pattern.compile("\\|\\s*([A-Za-z_]\\w*)");
    private static final Pattern TEST_USED = Pattern.compile("\\bis\\s+(?:not\\s+)?([A-Za-z_]\\w*)");

    private static final TemplateEngine INSTANCE = new TemplateEngine();

    private final Jinjava jinjava;

    private TemplateEngine() {
        JinjavaConfig config = JinjavaConfig.newBuilder()
                .withNestedInterpretationEnabled(false)
                .withKeepTrailingNewline(true)
                .withMaxOutputSize(MAXIMUM_LENGTH)
                .withMaxStringLength(MAXIMUM_LENGTH)
                .withMaxListSize(MAXIMUM_ITEMS)
                .withMaxMapSize(MAXIMUM_ITEMS)
                .withMaxRenderDepth(MAXIMUM_RECURSION)
                .withEnableRecursiveMacroCalls(true)
                .withMaxMacroRecursionDepth(MAXIMUM_RECURSION)
                .withReadOnlyResolver(true)
                .withElResolver(new TemplateValues(MAXIMUM_LENGTH))
                .withDisabled(Map.of(
                        Library.TAG, others(new TagLibrary(true, Set.of()), TAGS),
                        Library.FILTER, others(new FilterLibrary(true, Set.of()), FILTERS),
                        Library.EXP_TEST, others(new ExpTestLibrary(true, Set.of()), TESTS),
                        Library.FUNCTION, others(new FunctionLibrary(true, Set.of()), FUNCTIONS)))
                .withLegacyOverrides(LegacyOverrides.newBuilder()
                        .withEvaluateMapKeys(true)
                        .withIterateOverMapKeys(true)
                        .withUsePyishObjectMapper(true)
                        .withUseNaturalOperatorPrecedence(true)
                        .withParseWhitespaceControlStrictly(true)
                        .withAllowAdjacentTextNodes(true)
                        .withUseTrimmingForNotesAndExpressions(true)
                        .withKeepNullableLoopValues(true)
                        .withHandleBackslashInQuotesOnly(true)
                        .build())
                .withInterperterFactory(new CountingFactory())
                .withNodePreProcessor((node, interpreter) -> ((CountingInterpreter) interpreter).step())
                .build();
        jinjava = new Jinjava(config);
        jinjava.setResourceLocator((name, encoding, interpreter) -> {
            throw new InvalidArgument("a template cannot read other files");
        });
        TemplateFunctions.FILTERS.forEach(jinjava::registerFilter);
        TemplateFunctions.TESTS.forEach(jinjava.getGlobalContext()::registerExpTest);
        jinjava.registerTag(new TemplateForTag());
        jinjava.registerTag(new TemplateGenerationTag());
        jinjava.registerFunction(new ELFunctionDefinition(
                "", "raise_exception", TemplateFunctions.class, "raiseException", Object.class));
        jinjava.registerFunction(
                new ELFunctionDefinition("", "range", TemplateFunctions.class, "range", Object.class, Object[].class));
        jinjava.registerFunction(
                new ELFunctionDefinition("", "strftime_now", TemplateFunctions.class, "strftimeNow", String.class));
    }

    private static Set<String> others(SimpleLibrary<? extends Importable> library, Set<String> allowed) {
        Set<String> names = new HashSet<>();
        for (Importable entry : library.entries()) {
            names.add(entry.getName());
        }
        names.removeAll(allowed);
        allowed.forEach(name -> names.remove("end" + name));
        return names;
    }

    /// One rendering: counts its steps and prints values as Python does.
    static final class CountingInterpreter extends JinjavaInterpreter {
        private final int[] steps;

        CountingInterpreter(Jinjava application, Context context, JinjavaConfig config) {
            super(application, context, config);
            steps = new int[1];
            context.setExpressionStrategy((expression, interpreter) -> new RenderedOutputNode(
                    PythonText.str(interpreter.resolveELExpression(expression.getExpr(), expression.getLineNumber()))));
        }

        CountingInterpreter(CountingInterpreter original) {
            super(original);
            steps = original.steps;
        }

        /// The engine would go on after an error; here nothing follows it.
        @Override
        public void addError(TemplateError error) {
            super.addError(error);
            steps[0] = Integer.MAX_VALUE;
        }

        private void step() {
            if (steps[0] == Integer.MAX_VALUE) {
                throw new InvalidArgument(AFTER_ERROR);
            }
            if (++steps[0] > MAXIMUM_STEPS) {
                throw new InvalidArgument("the template takes more than " + MAXIMUM_STEPS + " steps");
            }
        }
    }

    private static final class CountingFactory implements InterpreterFactory {
        @Override
        public JinjavaInterpreter newInstance(JinjavaInterpreter original) {
            return new CountingInterpreter((CountingInterpreter) original);
        }

        @Override
        public JinjavaInterpreter newInstance(Jinjava application, Context context, JinjavaConfig config) {
            return new CountingInterpreter(application, context, config);
        }
    }

    /// The template in the form that [#render] takes.
    ///
    /// @throws IllegalArgumentException if it is broken or uses what is not supported
    static String source(String template) {
        String source = TemplateSource.settle(template);
        Matcher code = CODE.matcher(QUOTED.matcher(source).replaceAll("''"));
        while (code.find()) {
            requireKnown(FILTER_USED.matcher(code.group(1)), FILTERS, "filter");
            requireKnown(TEST_USED.matcher(code.group(1)), TESTS, "test");
        }
        return source;
    }

    /// The engine takes an unknown filter or test for an absent value.
    private static void requireKnown(Matcher used, Set<String> known, String what) {
        while (used.find()) {
            if (!known.contains(used.group(1))) {
                throw new IllegalArgumentException("there is no " + what + " '" + used.group(1) + "'");
            }
        }
    }

    /// @param source as [#source] made it
    /// @throws IllegalArgumentException with the engine's first complaint
    static String render(String source, Map<String, ?> variables, Clock clock) {
        return INSTANCE.run(source, variables, clock);
    }

    /// One at a time: the engine shares its global scope between renderings and resets it after each.
    private synchronized String run(String source, Map<String, ?> variables, Clock clock) {
        RenderResult result;
        try {
            TemplateFunctions.clock(clock);
            Map<String, Object> bindings = new HashMap<>(variables);
            // Functions are no values to the engine, and templates ask whether they are defined.
            CALLABLE.forEach(name -> bindings.putIfAbsent(name, name));
            result = jinjava.renderForResult(source, bindings);
        } catch (StackOverflowError e) {
            throw new IllegalArgumentException("the template is nested too deeply", e);
        } finally {
            TemplateFunctions.clock(null);
        }
        if (!result.getErrors().isEmpty()) {
            throw new IllegalArgumentException(result.getErrors().stream()
                    .map(TemplateEngine::complaint)
                    .filter(complaint -> !complaint.equals(AFTER_ERROR))
                    .findFirst()
                    .orElse("the engine gives no reason"));
        }
        return result.getOutput();
    }

    private static String complaint(TemplateError error) {
        Throwable cause = error.getException();
        while (cause != null && cause.getCause() != null) {
            cause = cause.getCause();
        }
        if (cause instanceof InvalidArgument) {
            return cause.getMessage();
        }
        return "line " + error.getLineno() + ": " + error.getMessage();
    }
}
