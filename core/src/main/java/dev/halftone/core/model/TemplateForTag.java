package dev.halftone.core.model;

import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.interpret.JinjavaInterpreter.InterpreterScopeClosable;
import com.hubspot.jinjava.lib.tag.ElseTag;
import com.hubspot.jinjava.lib.tag.ForTag;
import com.hubspot.jinjava.tree.Node;
import com.hubspot.jinjava.tree.TagNode;
import com.hubspot.jinjava.tree.parse.TagToken;
import com.hubspot.jinjava.util.ForLoop;
import com.hubspot.jinjava.util.ObjectIterator;
import com.hubspot.jinjava.util.ObjectTruthValue;
import dev.halftone.core.model.TemplateValues.InvalidArgument;
import java.util.ArrayList;
import java.util.List;

/// The loop of the engine, with Jinja's filter (`for x in list if condition`) and its `else` for no pass at all.
final class TemplateForTag extends ForTag {
    private static final long serialVersionUID = 1L;

    @Override
    public String interpretUnchecked(TagNode tag, JinjavaInterpreter interpreter) {
        var parts = getLoopVarsAndExpression((TagToken) tag.getMaster());
        List<String> names = parts.getLeft();
        String expression = parts.getRight();
        int filter = topLevelIf(expression);
        String listed = filter < 0 ? expression : expression.substring(0, filter);
        if (listed.isBlank()) {
            throw new InvalidArgument("a loop over nothing: '" + tag.getMaster().getImage() + "'");
        }
        Object items = interpreter.resolveELExpression(listed, tag.getLineNumber());
        if (items instanceof CharSequence text) {
            items = text.codePoints().mapToObj(Character::toString).toList();
        } else if (items instanceof Number || items instanceof Boolean) {
            throw new InvalidArgument("'" + listed.strip() + "' cannot be looped over");
        }
        if (filter >= 0) {
            String condition = expression.substring(filter + " if ".length());
            items = filtered(items, names, condition, tag, interpreter);
        }
        List<Node> body = new ArrayList<>();
        List<Node> otherwise = null;
        for (Node child : tag.getChildren()) {
            if (otherwise == null
                    && child instanceof TagNode inner
                    && inner.getName().equals(ElseTag.TAG_NAME)) {
                otherwise = new ArrayList<>();
            } else {
                (otherwise == null ? body : otherwise).add(child);
            }
        }
        if (otherwise == null) {
            return renderForCollection(tag, interpreter, names, items);
        }
        if (ObjectIterator.getLoop(items).hasNext()) {
            TagNode loop = new TagNode(this, (TagToken) tag.getMaster(), tag.getSymbols());
            loop.getChildren().addAll(body);
            return renderForCollection(loop, interpreter, names, items);
        }
        StringBuilder text = new StringBuilder();
        otherwise.forEach(node -> text.append(node.render(interpreter).getValue()));
        return text.toString();
    }

    private static List<Object> filtered(
            Object items, List<String> names, String condition, TagNode tag, JinjavaInterpreter interpreter) {
        List<Object> kept = new ArrayList<>();
        for (ForLoop loop = ObjectIterator.getLoop(items); loop.hasNext(); ) {
            Object item = interpreter.wrap(loop.next());
            try (InterpreterScopeClosable scope = interpreter.enterScope()) {
                bind(names, item, interpreter);
                if (ObjectTruthValue.evaluate(interpreter.resolveELExpression(condition, tag.getLineNumber()))) {
                    kept.add(item);
                }
            }
        }
        return kept;
    }

    private static void bind(List<String> names, Object item, JinjavaInterpreter interpreter) {
        if (names.size() == 1) {
            interpreter.getContext().put(names.getFirst(), item);
        } else if (item instanceof List<?> values && values.size() == names.size()) {
            for (int i = 0; i < names.size(); i++) {
                interpreter.getContext().put(names.get(i), values.get(i));
            }
        } else {
            throw new InvalidArgument(names.size() + " names for an item that has not as many parts");
        }
    }

    /// Where the filter of a loop begins: an ` if ` outside of brackets and quotes.
    private static int topLevelIf(String expression) {
        int depth = 0;
        char quote = 0;
        for (int i = 0; i < expression.length(); i++) {
            char c = expression.charAt(i);
            if (quote != 0) {
                quote = c == quote ? 0 : quote;
            } else if (c == '\'' || c == '"') {
                quote = c;
            } else if ("([{".indexOf(c) >= 0) {
                depth++;
            } else if (")]}".indexOf(c) >= 0) {
                depth--;
            } else if (depth == 0 && expression.startsWith(" if ", i)) {
                return i;
            }
        }
        return -1;
    }
}
