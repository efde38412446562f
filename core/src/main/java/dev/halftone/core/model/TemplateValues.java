package dev.halftone.core.model;

import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.exptest.ExpTest;
import com.hubspot.jinjava.lib.filter.Filter;
import com.hubspot.jinjava.util.ForLoop;
import java.beans.FeatureDescriptor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import jinjava.javax.el.ELContext;
import jinjava.javax.el.ELResolver;

/// What a template may do with a value: keys of a dictionary, elements of a list, and the Python methods below. There
/// is no reflection, so nothing of Java can be reached, whatever a name is.
final class TemplateValues extends ELResolver {
    /// Longest text that a method may make.
    private final int maximumLength;

    TemplateValues(int maximumLength) {
        this.maximumLength = maximumLength;
    }

    @Override
    public Object getValue(ELContext context, Object base, Object property) {
        if (base == null) {
            return null;
        }
        context.setPropertyResolved(true);
        String name = String.valueOf(property);
        return switch (base) {
            case Map<?, ?> map -> map.get(name);
            case List<?> list -> element(list, name);
            case CharSequence text -> character(text.toString(), name);
            case ForLoop loop -> loopProperty(loop, name);
            case Filter filter -> null; // asked before it is invoked
            case ExpTest test -> null;
            default -> throw new InvalidArgument("nothing can be asked of this value, '" + name + "' was");
        };
    }

    private static Object element(List<?> list, String name) {
        int index = index(name, list.size());
        return index < 0 || index >= list.size() ? null : list.get(index);
    }

    private static Object character(String text, String name) {
        int index = index(name, text.length());
        return index < 0 || index >= text.length() ? null : text.substring(index, index + 1);
    }

    private static int index(String name, int size) {
        if (!name.matches("-?[0-9]{1,9}")) {
            return -1;
        }
        int index = Integer.parseInt(name);
        return index < 0 ? index + size : index;
    }

    private static Object loopProperty(ForLoop loop, String name) {
        return switch (name) {
            case "index" -> loop.getIndex();
            case "index0" -> loop.getIndex0();
            case "revindex" -> loop.getRevindex();
            case "revindex0" -> loop.getRevindex0();
            case "first" -> loop.isFirst();
            case "last" -> loop.isLast();
            case "length" -> loop.getLength();
            case "depth" -> loop.getDepth();
            case "depth0" -> loop.getDepth0();
            case "cycle" -> null; // a method
            default -> throw new InvalidArgument("'loop." + name + "' is not supported");
        };
    }

    @Override
    @SuppressWarnings("unchecked")
    public Object invoke(ELContext context, Object base, Object method, Class<?>[] types, Object[] given) {
        context.setPropertyResolved(true);
        Object[] arguments = given == null ? new Object[0] : given;
        String name = String.valueOf(method);
        return switch (base) {
            case Filter filter
            when name.equals("filter") ->
                filter.filter(
                        arguments[0], (JinjavaInterpreter) arguments[1], (Object[]) arguments[2], (Map<String, Object>)
                                arguments[3]);
            case ExpTest test
            when name.equals("evaluate") || name.equals("evaluateNegated") -> test(test, name, arguments);
            case Map<?, ?> map -> onMap(map, name, arguments);
            case List<?> list -> onList((List<Object>) list, name, arguments);
            case CharSequence text -> onText(text.toString(), name, arguments);
            case ForLoop loop when name.equals("cycle") -> loop.cycle(arguments);
            case null, default -> throw unknown(name, "this value");
        };
    }

    private static Object test(ExpTest test, String name, Object[] arguments) {
        var interpreter = (JinjavaInterpreter) arguments[1];
        Object[] rest = arguments.length > 2 && arguments[2] instanceof Object[] packed
                ? packed
                : Arrays.copyOfRange(arguments, 2, arguments.length);
        return name.equals("evaluate")
                ? test.evaluate(arguments[0], interpreter, rest)
                : test.evaluateNegated(arguments[0], interpreter, rest);
    }

    private static InvalidArgument unknown(String name, String what) {
        return new InvalidArgument("there is no method '" + name + "' on " + what);
    }

    private static Object onMap(Map<?, ?> map, String name, Object[] arguments) {
        return switch (name) {
            case "items" -> {
                List<Object> items = new ArrayList<>();
                map.forEach((key, value) -> items.add(new ArrayList<>(Arrays.asList(key, value))));
                yield items;
            }
            case "keys" -> new ArrayList<Object>(map.keySet());
            case "values" -> new ArrayList<Object>(map.values());
            case "get" -> {
                String key = text(arguments, 0);
                Object absent = arguments.length > 1 ? arguments[1] : null;
                yield map.containsKey(key) ? map.get(key) : absent;
            }
            default -> throw unknown(name, "a dictionary");
        };
    }

    private static Object onList(List<Object> list, String name, Object[] arguments) {
        return switch (name) {
            // What the caller handed in is not to be changed; a list made by the template is its own.
            case "append" -> {
                list.add(arguments[0]);
                yield null;
            }
            case "index" -> (long) list.indexOf(arguments[0]);
            case "count" ->
                list.stream()
                        .filter(item -> item != null && item.equals(arguments[0]))
                        .count();
            default -> throw unknown(name, "a list");
        };
    }

    private Object onText(String text, String name, Object[] arguments) {
        return switch (name) {
            case "strip" -> strip(text, arguments, true, true);
            case "lstrip" -> strip(text, arguments, true, false);
            case "rstrip" -> strip(text, arguments, false, true);
            case "upper" -> text.toUpperCase(Locale.ROOT);
            case "lower" -> text.toLowerCase(Locale.ROOT);
            case "title" -> title(text);
            case "capitalize" ->
                text.isEmpty()
                        ? ""
                        : text.substring(0, 1).toUpperCase(Locale.ROOT)
                                + text.substring(1).toLowerCase(Locale.ROOT);
            case "startswith" -> affixes(arguments).stream().anyMatch(text::startsWith);
            case "endswith" -> affixes(arguments).stream().anyMatch(text::endsWith);
            case "split" -> split(text, arguments);
            case "splitlines" -> new ArrayList<Object>(text.lines().toList());
            case "replace" -> replace(text, text(arguments, 0), text(arguments, 1));
            case "find" -> (long) text.indexOf(text(arguments, 0));
            case "rfind" -> (long) text.lastIndexOf(text(arguments, 0));
            case "count" -> (long) split(text, new Object[] {arguments[0]}).size() - 1;
            case "join" -> join(text, arguments);
            case "isdigit" -> !text.isEmpty() && text.chars().allMatch(Character::isDigit);
            case "removeprefix" -> {
                String prefix = text(arguments, 0);
                yield text.startsWith(prefix) ? text.substring(prefix.length()) : text;
            }
            case "removesuffix" -> {
                String suffix = text(arguments, 0);
                yield text.endsWith(suffix) ? text.substring(0, text.length() - suffix.length()) : text;
            }
            default -> throw unknown(name, "a text");
        };
    }

    private static String text(Object[] arguments, int index) {
        if (index >= arguments.length || !(arguments[index] instanceof CharSequence text)) {
            throw new InvalidArgument("argument " + (index + 1) + " of a method is no text");
        }
        return text.toString();
    }

    private static List<String> affixes(Object[] arguments) {
        return arguments.length == 1 && arguments[0] instanceof Collection<?> several
                ? several.stream().map(String::valueOf).toList()
                : List.of(text(arguments, 0));
    }

    private static String strip(String text, Object[] arguments, boolean left, boolean right) {
        String characters = arguments.length == 0 ? null : text(arguments, 0);
        int from = 0;
        int to = text.length();
        while (left && from < to && stripped(text.charAt(from), characters)) {
            from++;
        }
        while (right && to > from && stripped(text.charAt(to - 1), characters)) {
            to--;
        }
        return text.substring(from, to);
    }

    private static boolean stripped(char c, String characters) {
        return characters == null ? Character.isWhitespace(c) || c == '\u00A0' : characters.indexOf(c) >= 0;
    }

    private static String title(String text) {
        StringBuilder title = new StringBuilder();
        boolean inWord = false;
        for (char c : text.toCharArray()) {
            title.append(inWord ? Character.toLowerCase(c) : Character.toUpperCase(c));
            inWord = Character.isLetter(c);
        }
        return title.toString();
    }

    private static List<Object> split(String text, Object[] arguments) {
        List<Object> parts = new ArrayList<>();
        if (arguments.length == 0 || arguments[0] == null) {
            parts.addAll(Arrays.asList(text.strip().split("\\s+")));
            return text.isBlank() ? new ArrayList<>() : parts;
        }
        String separator = text(arguments, 0);
        if (separator.isEmpty()) {
            throw new InvalidArgument("an empty separator splits nothing");
        }
        long most = arguments.length > 1 && arguments[1] instanceof Number limit && limit.longValue() >= 0
                ? limit.longValue()
                : Long.MAX_VALUE;
        int from = 0;
        for (int at = text.indexOf(separator); at >= 0 && parts.size() < most; at = text.indexOf(separator, from)) {
            parts.add(text.substring(from, at));
            from = at + separator.length();
        }
        parts.add(text.substring(from));
        return parts;
    }

    private String replace(String text, String old, String fresh) {
        if (old.isEmpty()) {
            throw new InvalidArgument("an empty text cannot be replaced");
        }
        long longest = text.length() + (long) text.length() / old.length() * fresh.length();
        return longest <= maximumLength ? text.replace(old, fresh) : tooLong();
    }

    private String join(String separator, Object[] arguments) {
        if (arguments.length != 1 || !(arguments[0] instanceof Collection<?> items)) {
            throw new InvalidArgument("join needs a list");
        }
        StringBuilder joined = new StringBuilder();
        for (Iterator<?> rest = items.iterator(); rest.hasNext(); ) {
            joined.append(PythonText.str(rest.next())).append(rest.hasNext() ? separator : "");
            if (joined.length() > maximumLength) {
                return tooLong();
            }
        }
        return joined.toString();
    }

    private String tooLong() {
        throw new InvalidArgument("a text grows beyond " + maximumLength + " characters");
    }

    @Override
    public void setValue(ELContext context, Object base, Object property, Object value) {
        throw new InvalidArgument("values are not changed in place");
    }

    @Override
    public boolean isReadOnly(ELContext context, Object base, Object property) {
        return true;
    }

    @Override
    public Class<?> getType(ELContext context, Object base, Object property) {
        return Object.class;
    }

    @Override
    public Iterator<FeatureDescriptor> getFeatureDescriptors(ELContext context, Object base) {
        return List.<FeatureDescriptor>of().iterator();
    }

    @Override
    public Class<?> getCommonPropertyType(ELContext context, Object base) {
        return Object.class;
    }

    /// Ends the rendering. Not an IllegalArgumentException, which the engine would take for an absent value.
    static final class InvalidArgument extends RuntimeException {
        private static final long serialVersionUID = 1L;

        InvalidArgument(String message) {
            super(message);
        }
    }
}
