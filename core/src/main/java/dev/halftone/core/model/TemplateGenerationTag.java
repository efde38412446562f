package dev.halftone.core.model;

import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.tag.Tag;
import com.hubspot.jinjava.tree.TagNode;

/// `{% generation %}` marks what the model itself said, for training; here it only passes on what is in it.
final class TemplateGenerationTag implements Tag {
    private static final long serialVersionUID = 1L;

    @Override
    public String getName() {
        return "generation";
    }

    @Override
    public String interpret(TagNode tag, JinjavaInterpreter interpreter) {
        StringBuilder text = new StringBuilder();
        tag.getChildren().forEach(node -> text.append(node.render(interpreter).getValue()));
        return text.toString();
    }

    @Override
    public String getEndTagName() {
        return "endgeneration";
    }
}
