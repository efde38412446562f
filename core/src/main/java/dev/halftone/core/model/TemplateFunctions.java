package dev.halftone.core.model;

import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.exptest.ExpTest;
import com.hubspot.jinjava.lib.filter.AdvancedFilter;
import com.hubspot.jinjava.util.ObjectTruthValue;
import dev.halftone.core.model.TemplateValues.InvalidArgument;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.time.Clock;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Predicate;

/// Functions and filters of templates that the engine lacks, or has otherwise than Jinja.
public final class TemplateFunctions {
    /// The engine calls functions by reflection without a way to pass more than their arguments.
    private static final ThreadLocal<Clock> CLOCK = new ThreadLocal<>();

    private static final int MAXIMUM_RANGE = 100_000;
    private static final int MAXIMUM_INDENT = 100;

    private TemplateFunctions() {}

    static void clock(Clock clock) {
        if (clock == null) {
            CLOCK.remove();
        } else {
            CLOCK.set(clock);
        }
    }

    private interface Body {
        Object apply(Object value, Object[] arguments, Map<String, Object> named);
    }

    private record OwnFilter(String name, Body body) implements AdvancedFilter {
        @Override
        public String getName() {
            return name;
        }

        @Override
        public Object filter(
                Object value, JinjavaInterpreter interpreter, Object[] arguments, Map<String, Object> named) {
            return body.apply(value, arguments, named);
        }
    }

    static final List<AdvancedFilter> FILTERS = List.of(
            new OwnFilter("tojson", TemplateFunctions::toJson),
            new OwnFilter("first", (value, arguments, named) -> element(value, true)),
            new OwnFilter("last", (value, arguments, named) -> element(value, false)),
            new OwnFilter(TemplateSource.REVERSED, (value, arguments, named) -> reversed(value)),
            new OwnFilter("indent", TemplateFunctions::indent),
            new OwnFilter("sum", TemplateFunctions::sum),
            new OwnFilter("round", TemplateFunctions::round),
            new OwnFilter("min", (value, arguments, named) -> extreme(value, -1)),
            new OwnFilter("max", (value, arguments, named) -> extreme(value, 1)),
            new OwnFilter("default", TemplateFunctions::orElse),
            new OwnFilter("d", TemplateFunctions::orElse),
            new OwnFilter("string", (value, arguments, named) -> PythonText.str(value)),
            new OwnFilter("safe", (value, arguments, named) -> value),
            new OwnFilter("items", (value, arguments, named) -> items(value)));

    private record OwnTest(String name, Predicate<Object> holds) implements ExpTest {
        @Override
        public String getName() {
            return name;
        }

        @Override
        public boolean evaluate(Object value, JinjavaInterpreter interpreter, Object... arguments) {
            return holds.test(value);
        }
    }

    /// A text counts as a row of characters in Python.
    private static final Predicate<Object> ROW =
            value -> value instanceof Collection<?> || value instanceof Map<?, ?> || value instanceof CharSequence;

    static final List<ExpTest> TESTS = List.of(new OwnTest("iterable", ROW), new OwnTest("sequence", ROW));

    /// What a template calls to refuse a conversation.
    public static Object raiseException(Object message) {
        throw new InvalidArgument(PythonText.str(message));
    }

    /// Whole numbers from `start` (0) to before `stop` in steps of `step` (1), called as `range(stop)`,
    /// `range(start, stop)` or `range(start, stop, step)`.
    public static List<Long> range(Object first, Object... more) {
        long start = more.length == 0 ? 0 : whole(first);
        long stop = whole(more.length == 0 ? first : more[0]);
        long step = more.length < 2 ? 1 : whole(more[1]);
        List<Long> range = new ArrayList<>();
        if (step == 0 || Math.abs((stop - (double) start) / step) > MAXIMUM_RANGE) {
            throw new InvalidArgument("a range has at most " + MAXIMUM_RANGE + " numbers");
        }
        for (long i = start; step > 0 ? i < stop : i > stop; i += step) {
            range.add(i);
        }
        return range;
    }

    private static long whole(Object value) {
        if (value instanceof Number number && Math.abs(number.doubleValue()) < 1e15) {
            return number.longValue();
        }
        throw new InvalidArgument("expected a whole number, found '" + PythonText.str(value) + "'");
    }

    private static Object indent(Object value, Object[] arguments, Map<String, Object> named) {
        Object given = arguments.length > 0 ? arguments[0] : named.getOrDefault("width", 4L);
        String width = given instanceof CharSequence text ? text.toString() : spaces(whole(given));
        boolean first = ObjectTruthValue.evaluate(arguments.length > 1 ? arguments[1] : named.get("first"));
        boolean blank = ObjectTruthValue.evaluate(arguments.length > 2 ? arguments[2] : named.get("blank"));
        List<String> lines = new ArrayList<>();
        for (String line : PythonText.str(value).split("\n", -1)) {
            boolean indented = lines.isEmpty() ? first : blank || !line.isEmpty();
            lines.add(indented ? width + line : line);
        }
        return String.join("\n", lines);
    }

    private static String spaces(long count) {
        if (count > MAXIMUM_INDENT) {
            throw new InvalidArgument("an indent has at most " + MAXIMUM_INDENT + " spaces");
        }
        return " ".repeat((int) Math.max(count, 0));
    }

    /// The present time as C's strftime writes it.
    public static String strftimeNow(String format) {
        ZonedDateTime now = ZonedDateTime.now(Objects.requireNonNull(CLOCK.get()));
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < format.length(); i++) {
            if (format.charAt(i) != '%' || i + 1 == format.length()) {
                text.append(format.charAt(i));
                continue;
            }
            boolean unpadded = format.charAt(++i) == '-' && i + 1 < format.length();
            String field = field(format.charAt(unpadded ? ++i : i), now);
            text.append(unpadded ? field.replaceFirst("^0(?=.)", "") : field);
        }
        return text.toString();
    }

    private static String field(char directive, ZonedDateTime now) {
        String pattern = switch (directive) {
            case 'Y' -> "uuuu";
            case 'y' -> "uu";
            case 'm' -> "MM";
            case 'd' -> "dd";
            case 'e' -> "ppd";
            case 'j' -> "DDD";
            case 'B' -> "MMMM";
            case 'b', 'h' -> "MMM";
            case 'A' -> "EEEE";
            case 'a' -> "EEE";
            case 'H' -> "HH";
            case 'I' -> "hh";
            case 'M' -> "mm";
            case 'S' -> "ss";
            case 'p' -> "a";
            case 'Z' -> "zzz";
            case 'z' -> "xx";
            case 'F' -> "uuuu-MM-dd";
            case 'T' -> "HH:mm:ss";
            case '%' -> "'%'";
            default -> throw new InvalidArgument("strftime_now does not know '%" + directive + "'");
        };
        return DateTimeFormatter.ofPattern(pattern, Locale.US).format(now);
    }

    private static Object toJson(Object value, Object[] arguments, Map<String, Object> named) {
        Object indent = arguments.length > 0 ? arguments[0] : named.get("indent");
        for (String name : named.keySet()) {
            if (!List.of("indent", "sort_keys", "ensure_ascii").contains(name)) {
                throw new InvalidArgument("tojson has no argument '" + name + "' here");
            }
        }
        return PythonText.json(
                value,
                indent instanceof Number spaces ? Math.clamp(spaces.intValue(), 0, 16) : -1,
                ObjectTruthValue.evaluate(named.get("sort_keys")),
                ObjectTruthValue.evaluate(named.get("ensure_ascii")));
    }

    private static Object element(Object value, boolean first) {
        return switch (value) {
            case List<?> list -> list.isEmpty() ? null : first ? list.getFirst() : list.getLast();
            case Collection<?> items -> element(new ArrayList<>(items), first);
            case Map<?, ?> map -> element(new ArrayList<>(map.keySet()), first);
            case CharSequence text ->
                text.isEmpty() ? null : text.subSequence(first ? 0 : text.length() - 1, first ? 1 : text.length());
            case null, default -> null;
        };
    }

    private static Object reversed(Object value) {
        return switch (value) {
            case List<?> list -> list.reversed();
            case CharSequence text -> new StringBuilder(text).reverse().toString();
            case null, default -> throw new InvalidArgument("only a list or a text has a slice");
        };
    }

    /// To the even neighbour where two are as near.
    private static Object round(Object value, Object[] arguments, Map<String, Object> named) {
        if (arguments.length > 1 || !named.isEmpty()) {
            throw new InvalidArgument("round takes a number of digits only");
        }
        int digits = arguments.length == 0 ? 0 : Math.clamp((long) number(arguments[0]), -300, 300);
        return BigDecimal.valueOf(number(value))
                .setScale(digits, RoundingMode.HALF_EVEN)
                .doubleValue();
    }

    private static Object extreme(Object value, int sign) {
        if (!(value instanceof Collection<?> items)) {
            throw new InvalidArgument("only a list has a least and a greatest");
        }
        return items.stream()
                .max(Comparator.comparingDouble(item -> sign * number(item)))
                .orElse(null);
    }

    private static Object sum(Object value, Object[] arguments, Map<String, Object> named) {
        if (!(value instanceof Collection<?> items) || arguments.length > 0 || !named.isEmpty()) {
            throw new InvalidArgument("sum takes a list of numbers and nothing else");
        }
        double sum = 0;
        boolean whole = true;
        for (Object item : items) {
            sum += number(item);
            whole &= item instanceof Long || item instanceof Integer;
        }
        return whole ? (Object) (long) sum : (Object) sum;
    }

    private static double number(Object item) {
        if (item instanceof Number number) {
            return number.doubleValue();
        }
        throw new InvalidArgument("only numbers are compared here");
    }

    private static Object orElse(Object value, Object[] arguments, Map<String, Object> named) {
        boolean orFalse = ObjectTruthValue.evaluate(arguments.length > 1 ? arguments[1] : named.get("boolean"));
        Object other = arguments.length > 0 ? arguments[0] : named.getOrDefault("default_value", "");
        return value == null || orFalse && !ObjectTruthValue.evaluate(value) ? other : value;
    }

    private static Object items(Object value) {
        if (!(value instanceof Map<?, ?> map)) {
            throw new InvalidArgument("only a dictionary has items");
        }
        List<Object> items = new ArrayList<>();
        map.forEach((key, entry) -> {
            List<Object> pair = new ArrayList<>();
            pair.add(key);
            pair.add(entry);
            items.add(pair);
        });
        return items;
    }
}
