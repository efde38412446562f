"""Templates as (name, source, contexts): the constructs that real chat templates use, one or a few at a time.

A context overrides the defaults of chat_templates.py: one user message, no tools, no generation prompt.
"""

SYSTEM = dict(role="system", content="Be kind.")
HELLO = dict(role="user", content="Hello")
HI = dict(role="assistant", content="Hi there")
MORE = dict(role="user", content="  Tell me more \n")
CHAT = [SYSTEM, HELLO, HI, MORE]
PROMPT = dict(add_generation_prompt=True)

WEATHER = dict(
    type="function",
    function=dict(
        name="weather",
        description="Today's <weather> & wind, \"now\"",
        parameters=dict(
            type="object",
            properties=dict(city=dict(type="string", description="a city, e.g. Zürich"), days=dict(type="integer")),
            required=["city"],
        ),
    ),
)
CALL = dict(
    role="assistant",
    content="",
    tool_calls=[
        dict(id="call_1", type="function", function=dict(name="weather", arguments=dict(city="Oslo", days=2))),
        dict(id="call_2", type="function", function=dict(name="clock", arguments={})),
    ],
)
RESULT = dict(role="tool", name="weather", tool_call_id="call_1", content="sunny")

TEMPLATES = [
    ("plain text", "no tags at all\n", [{}]),
    ("last newline dropped", "{{ messages[0].content }}\n", [{}]),
    ("both newlines", "a\n\n", [{}]),
    ("comment", "a{# gone #}b\n{# gone with its newline #}\nc{#- tight -#} d", [{}]),
    ("raw", "{% raw %}{{ kept }} {% kept %}{% endraw %}", [{}]),
    (
        "trim and lstrip blocks",
        "start\n  {% if true %}\n    inner\n  {% endif %}\nend {% if true %} x {% endif %} y\n",
        [{}],
    ),
    ("no lstrip before variable", "a\n   {{ 'b' }}\n   c\n", [{}]),
    ("plus keeps whitespace", "a\n  {%+ if true %}\nb\n  {%+ endif +%}\nc", [{}]),
    ("minus trims", "a  \n\n {%- if true -%} \n\n b {{- ' c ' -}} \n d {%- endif %}  \n e", [{}]),
    (
        "roles",
        "{% for m in messages %}{{ '<' + m['role'] + '>' + m.content + '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}",
        [dict(messages=CHAT), dict(messages=CHAT, **PROMPT), dict(messages=[])],
    ),
    (
        "loop variables",
        "{% for m in messages %}{{ loop.index0 }}/{{ loop.index }}/{{ loop.revindex }}/{{ loop.revindex0 }}/"
        "{{ loop.length }}{% if loop.first %} first{% endif %}{% if loop.last %} last{% endif %};{% endfor %}",
        [dict(messages=CHAT)],
    ),
    (
        "loop neighbours",
        "{% for m in messages %}[{{ loop.previtem.role if loop.previtem is defined else '-' }}>{{ m.role }}>"
        "{{ loop.nextitem.role if loop.nextitem is defined else '-' }}{{ loop.cycle('a', 'b') }}]{% endfor %}",
        [dict(messages=CHAT)],
    ),
    (
        "loop filter and else",
        "{% for m in messages if m.role == 'tool' %}{{ m.content }}{% else %}none{% endfor %}"
        "{% for m in messages if m.role == 'user' %} {{ loop.index }}:{{ m.content }}{% else %}none{% endfor %}",
        [dict(messages=CHAT)],
    ),
    (
        "break and continue",
        "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
        "{% if m.role == 'assistant' %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
        [dict(messages=CHAT)],
    ),
    (
        "loop scope",
        "{% set found = false %}{% for m in messages %}{% set found = true %}{% endfor %}{{ found }}",
        [dict(messages=CHAT)],
    ),
    (
        "namespace",
        "{% set ns = namespace(found=false, count=0, last='') %}"
        "{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}"
        "{% set ns.count = ns.count + 1 %}{% set ns.last = m.content | trim %}{% endif %}{% endfor %}"
        "{{ ns.found }} {{ ns.count }} {{ ns.last }}",
        [dict(messages=CHAT), dict(messages=[SYSTEM])],
    ),
    (
        "if scope leaks, macro scope does not",
        "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}"
        "{% macro f() %}{% set x = 3 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}",
        [{}],
    ),
    (
        "slices",
        "{% set loop_messages = messages[1:] %}{{ loop_messages | length }} {{ messages[-1].role }} "
        "{{ messages[:-1] | length }} {% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %} "
        "{{ messages[1:3] | map(attribute='role') | join(',') }} {{ 'abcdef'[2:4] }} {{ 'abcdef'[-2:] }} {{ 'abcdef'[::2] }}",
        [dict(messages=CHAT)],
    ),
    (
        "system first",
        "{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] | trim %}"
        "{% set messages = messages[1:] %}{% else %}{% set system_message = '' %}{% endif %}"
        "{{ system_message }}|{% for message in messages %}{{ message['content'] | trim }};{% endfor %}",
        [dict(messages=CHAT), dict(messages=[MORE])],
    ),
    (
        "is defined",
        "{{ missing is defined }} {{ missing is not defined }} {{ messages is defined }} {{ tools is defined }} "
        "{{ tools is none }} {{ tools is not none }} {{ messages[0].tool_calls is defined }} {{ missing is undefined }} "
        "[{{ missing }}] {{ missing | default('d') }} {{ tools | default('d') }} {{ '' | default('d', true) }} "
        "{{ messages[0]['nothing'] | default('e', boolean=true) }}",
        [{}],
    ),
    ("undefined is falsy", "{% if missing %}yes{% else %}no{% endif %}{% if not missing %}!{% endif %}", [{}]),
    ("attribute of undefined", "{{ missing.attribute }}", [{}]),
    ("index out of range", "[{{ messages[7] is defined }}][{{ messages[7] }}]", [{}]),
    ("undefined in concatenation", "{{ 'a' ~ missing ~ 'b' }}", [{}]),
    ("undefined in addition", "{{ 'a' + missing }}", [{}]),
    ("none in concatenation", "{{ 'a' ~ tools ~ 1 ~ true ~ 1.5 }}", [{}]),
    ("number plus text", "{{ 'a' + 1 }}", [{}]),
    (
        "tests",
        "{{ 'a' is string }} {{ 1 is string }} {{ messages is sequence }} {{ messages is iterable }} {{ messages[0] is mapping }} "
        "{{ 1 is number }} {{ 1.5 is float }} {{ 1 is integer }} {{ true is boolean }} {{ true is true }} {{ false is false }} "
        "{{ none is none }} {{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby(3) }} {{ 'a' is in ['a'] }} {{ 'ab' is lower }} "
        "{{ 2 is gt 1 }} {{ 'x' is eq 'x' }} {{ 'x' is sameas 'x' }} {{ messages is not mapping }} {{ range is callable }}",
        [{}],
    ),
    (
        "string methods",
        "{{ ' a b '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abc'.startswith('ab') }}|"
        "{{ 'abc'.endswith('bc') }}|{{ 'a,b,c'.split(',') }}|{{ 'a b  c'.split() }}|{{ 'a-b-c'.split('-', 1) | last }}|"
        "{{ 'abc'.upper() }}|{{ 'ABC'.lower() }}|{{ 'two words'.title() }}|{{ 'aBC'.capitalize() }}|{{ 'aXbX'.replace('X', '-') }}|"
        "{{ 'abcb'.find('b') }}|{{ 'abcb'.rfind('b') }}|{{ 'abcb'.count('b') }}|{{ ', '.join(['a', 'b']) }}|{{ 'a\\nb'.splitlines() }}|"
        "{{ 'a.b'.rsplit('.', 1)[0] }}|{{ '12'.isdigit() }}|{{ 'a{}b{}'.format(1, 'x') }}|{{ 'abc'.startswith(('x', 'a')) }}",
        [{}],
    ),
    (
        "reasoning split",
        "{% set content = messages[-1].content %}{% if '</think>' in content %}"
        "{% set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
        "{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
        "{{ reasoning | default('-') }}|{{ content }}",
        [dict(messages=[dict(role="assistant", content="<think>\nhm\n</think>\n\nYes")]), {}],
    ),
    (
        "filters on text",
        "{{ '  a ' | trim }}|{{ 'abc' | upper }}|{{ 'ABC' | lower }}|{{ 'abc' | length }}|{{ 'abc' | first }}|{{ 'abc' | last }}|"
        "{{ 'a b c' | replace(' ', '_') }}|{{ 'ab cd' | title }}|{{ 'abC' | capitalize }}|{{ 'x\\ny' | indent(2) }}|"
        "{{ 'x\\ny' | indent(4, true) }}|{{ 'abc' | reverse }}|{{ 'abc' | list }}|{{ '7' | int + 1 }}|{{ 'z' | int }}|{{ '1.5' | float }}|"
        "{{ 3 | string + 'x' }}|{{ '<b>' | safe }}|{{ '<b>&\"' | escape }}|{{ 'a b' | wordcount }}|{{ '%s=%d' | format('a', 3) }}",
        [{}],
    ),
    (
        "filters on numbers",
        "{{ 3.7 | int }} {{ 3 | float }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ -3 | abs }} {{ [3, 1, 2] | sum }} "
        "{{ [3, 1, 2] | max }} {{ [3, 1, 2] | min }} {{ [3, 1, 2] | sort }} {{ [3, 1, 2] | sort(reverse=true) | join('-') }}",
        [{}],
    ),
    (
        "filters on lists",
        "{{ messages | length }} {{ messages | count }} {{ (messages | first).role }} {{ (messages | last).role }} "
        "{{ messages | map(attribute='role') | list }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }} "
        "{{ messages | selectattr('role', '==', 'user') | map(attribute='content') | map('trim') | join('/') }} "
        "{{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | join(' ') }} "
        "{{ messages | selectattr('name') | list }} {{ messages | selectattr('name', 'defined') | list }} "
        "{{ ['b', 'a', 'b'] | unique | join }} {{ ['b', 'a'] | sort | join }} {{ [1, 2, 3] | select('odd') | list }} "
        "{{ [1, 2, 3] | reject('odd') | list }} {{ [1, 2, 3] | reverse | list }} {{ ['a', 'b'] | map('upper') | join(' & ') }} "
        "{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [] | first is defined }} {{ [[1, 2], [3]] | sum(start=[]) }}",
        [dict(messages=CHAT)],
    ),
    (
        "dictionaries",
        "{% for key, value in data.items() %}{{ key }}={{ value }};{% endfor %}{% for key in data %}{{ key }}{% endfor %} "
        "{{ data.keys() | list }} {{ data.values() | list }} {{ data.get('a') }} {{ data.get('zz') }} {{ data.get('zz', 5) }} "
        "{{ 'a' in data }} {{ 'zz' not in data }} {{ data['b'] }} {{ data.b }} {% for k, v in data | items %}{{ k }}{{ v }}{% endfor %} "
        "{% for k, v in data | dictsort %}{{ k }}{% endfor %} {{ data | length }} {{ {'x': 1, 'y': [2]} }} {{ dict(p=1, q='r') }}",
        [dict(data=dict(b=2, a=1, c=None))],
    ),
    ("method before key", "{% for k, v in data.items() %}{{ k }}{{ v }}{% endfor %} {{ data['items'] }}", [dict(data=dict(items="entry"))]),
    (
        "python literals printed",
        "{{ true }} {{ True }} {{ false }} {{ none }} {{ None }} {{ 1 }} {{ 1.0 }} {{ 1e3 }} {{ 0.1 + 0.2 }} {{ 1e20 }} {{ [1, 'a', \"b'c\", none, true, 2.5] }} "
        "{{ {'k': 'v'} }} {{ (1, 'x') }} {{ (1,) }} {{ '' }} {{ ['line\\nbreak', 'tab\\t', 'é', '\\\\'] }}",
        [{}],
    ),
    (
        "arithmetic",
        "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** 10 }} {{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ -2 ** 2 }} "
        "{{ 'ab' * 3 }} {{ [1] + [2] }} {{ 1 ~ 2 * 3 }} {{ '%s and %s' % ('a', 1) }} {{ 10 - 3 - 2 }} {{ 2 ** 3 ** 2 }}",
        [{}],
    ),
    ("concatenation binds tighter than plus", "{{ 'a' ~ 1 + 'b' }} {{ 'a' + 'b' ~ 2 }}", [{}]),
    ("sum of a concatenation and a number", "{{ 1 ~ 2 + 3 }}", [{}]),
    (
        "comparison and logic",
        "{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 'a' == 'a' and 'b' != 'c' }} {{ not true or true }} {{ not (true or true) }} {{ 1 == 1.0 }} "
        "{{ '1' == 1 }} {{ true == 1 }} {{ 'user' in ['user', 'tool'] }} {{ 'x' not in 'abc' }} {{ 'b' in 'abc' }} {{ [] or 'empty' }} "
        "{{ 'a' and 'b' }} {{ none or false }} {{ '' or 0 }} {{ [1, 2] == [1, 2] }} {{ not none }} {{ 'a' < 'b' }} {{ [] is defined and [] }}",
        [{}],
    ),
    (
        "ternaries",
        "{{ 'yes' if add_generation_prompt else 'no' }} {{ 'only' if add_generation_prompt }}|"
        "{{ 'a' if false else 'b' if false else 'c' }} {{ ('x' if true else 'y') ~ '!' }} {{ 1 if messages else 2 }}",
        [{}, PROMPT],
    ),
    (
        "nested ifs",
        "{% for m in messages %}{% if m.role == 'user' %}{% if loop.first %}U0{% else %}U{% endif %}"
        "{% elif m.role == 'assistant' %}A{% elif m.role in ['tool', 'function'] %}T{% else %}"
        "{% if m.role == 'system' and loop.index0 == 0 %}S{% endif %}{% endif %}{% endfor %}",
        [dict(messages=CHAT), dict(messages=[HELLO, CALL, RESULT])],
    ),
    (
        "alternation raises",
        "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{{ m.content }}{% endfor %}",
        [dict(messages=[HELLO, HI, MORE]), dict(messages=[HELLO, MORE])],
    ),
    ("division by zero", "{{ 1 / 0 }}", [{}]),
    ("syntax error", "{% if %}", [{}]),
    ("unknown filter", "{{ 'a' | nonsense }}", [{}]),
    (
        "macro",
        "{% macro turn(role, content='', end='<|end|>') -%}\n<|{{ role }}|>{{ content }}{{ end }}\n{%- endmacro %}"
        "{% for m in messages %}{{ turn(m.role, m.content | trim) }}{% endfor %}{{ turn('assistant', end='') }}",
        [dict(messages=CHAT)],
    ),
    (
        "recursive macro",
        "{%- macro show(value) -%}{%- if value is mapping -%}{ {%- for k, v in value.items() -%}{{ k }}:{{ show(v) }}"
        "{%- if not loop.last %}, {% endif -%}{%- endfor -%} }{%- elif value is string -%}'{{ value }}'"
        "{%- elif value is iterable -%}[{%- for v in value -%}{{ show(v) }}{%- if not loop.last %}, {% endif -%}{%- endfor -%}]"
        "{%- else -%}{{ value }}{%- endif -%}{%- endmacro -%}{{ show(tools) }}",
        [dict(tools=[WEATHER])],
    ),
    (
        "call block",
        "{% macro box(name) %}<{{ name }}>{{ caller() }}</{{ name }}>{% endmacro %}{% call box('b') %}inside{% endcall %}",
        [{}],
    ),
    ("set block", "{% set block %}\n  {{ messages[0].content }}!\n{% endset %}[{{ block | trim }}]", [{}]),
    ("filter block", "{% filter upper %}loud {{ messages[0].role }}{% endfilter %}", [{}]),
    ("several targets", "{% set a, b = 1, 'two' %}{{ b }}{{ a }}{% for x, y in [(1, 2), (3, 4)] %}{{ x + y }} {% endfor %}", [{}]),
    ("with block", "{% with x = 5, y = 'z' %}{{ x }}{{ y }}{% endwith %}{{ x is defined }}", [{}]),
    ("range", "{% for i in range(3) %}{{ i }}{% endfor %} {{ range(1, 10, 3) | list }} {{ range(3, 0, -1) | list }}", [{}]),
    (
        "tojson",
        "{{ data | tojson }}\n{{ data | tojson(indent=2) }}\n{{ 'a\"<é>' | tojson }} {{ none | tojson }} {{ true | tojson }} "
        "{{ [] | tojson }} {{ {} | tojson(indent=4) }} {{ data | tojson(sort_keys=true) }} {{ data | tojson(separators=(',', ':')) }} "
        "{{ data | tojson(ensure_ascii=true) }}",
        [dict(data=dict(z=[1, 2.0, None, True], a=dict(text="é <b> & 'q' \"d\" \n \u2028 😀", empty={}), tiny=1e-7, big=1e22))],
    ),
    ("tojson of tools", "{% for t in tools %}{{ t | tojson(indent=4) }}\n{% endfor %}", [dict(tools=[WEATHER])]),
    (
        "string escapes",
        "{{ 'a\\nb\\tc\\\\d\\'e\\\"f' }}{{ \"it's\" }}{{ '\\u00e9\\x41' }}{{ 'joined ' 'literals' }}{{ 'multi\nline' }}",
        [{}],
    ),
    ("carriage returns", "a\r\nb{% if true %}\r\nc{% endif %}\r\n", [{}]),
    (
        "clock",
        "{% if strftime_now is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% else %}"
        "{% set date_string = '26 Jul 2023' %}{% endif %}Today Date: {{ date_string }} {{ strftime_now('%Y-%m-%d %H:%M:%S') }} "
        "{{ strftime_now('%A %B %j %y %I%p %a') }} {{ strftime_now('%-d %e %%') }}",
        [{}],
    ),
    (
        "generation blocks",
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}",
        [dict(messages=CHAT)],
    ),
    (
        "parts of content",
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m['content'] %}"
        "{% if part.type == 'text' %}{{ part['text'] }}{% elif 'image' in part %}<image>{% endif %}{% endfor %}{% endif %}{% endfor %}",
        [dict(messages=[HELLO, dict(role="user", content=[dict(type="text", text="see "), dict(type="image", image="x.png")])])],
    ),
    (
        "special tokens",
        "{{ bos_token }}{% for m in messages %}{{ m.content ~ eos_token }}{% endfor %}{{ pad_token is defined }}",
        [dict(bos_token="<s>", eos_token="</s>")],
    ),
    (
        "switch given by the caller",
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% else %}on{% endif %}",
        [{}, dict(enable_thinking=False), dict(enable_thinking=True)],
    ),
    ("whole: instruction brackets", """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + " [/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + " [/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, not " ~ message["role"]) }}
    {%- endif %}
{%- endfor %}
""", [
        dict(messages=CHAT, bos_token="<s>", eos_token="</s>"),
        dict(messages=[HELLO, HI], bos_token="<s>", eos_token="</s>"),
        dict(messages=[HELLO, RESULT], bos_token="<s>", eos_token="</s>"),
    ]),
    ("whole: header tags", """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|header|>system<|/header|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Tools: " }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- "Date: " + date_string + "\\n" }}
{{- system_message }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '<|/header|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("One call at a time!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}<|eot|>" }}
    {%- else %}
        {{- "<|header|>tool<|/header|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|/header|>\\n\\n' }}
{%- endif %}
""", [
        dict(messages=CHAT, bos_token="<|begin|>", **PROMPT),
        dict(messages=[HELLO], bos_token="<|begin|>", date_string="1 Jan 2000"),
        dict(messages=[HELLO, dict(CALL, tool_calls=CALL["tool_calls"][:1]), RESULT], bos_token="<|begin|>", tools=[WEATHER], **PROMPT),
        dict(messages=[HELLO, CALL], bos_token="<|begin|>"),
    ]),
    ("whole: tools and reasoning", """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(searching=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<result>') and message.content.endswith('</result>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query and (loop.last or reasoning) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<call>{"name": "' + tool_call.name + '", "arguments": ' }}
                {{- tool_call.arguments if tool_call.arguments is string else tool_call.arguments | tojson }}
                {{- '}</call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<result>\\n' + content + '\\n</result>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""", [
        dict(messages=CHAT, **PROMPT),
        dict(messages=CHAT, enable_thinking=False, **PROMPT),
        dict(messages=[SYSTEM, HELLO, CALL, RESULT, dict(RESULT, content="12:00")], tools=[WEATHER], **PROMPT),
        dict(messages=[HELLO, dict(HI, reasoning_content="\nshort\n"), MORE, dict(HI, reasoning_content="\nlong\n")]),
    ]),
]
