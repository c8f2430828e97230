#!/usr/bin/env python3
"""Makes golden vectors for chat templates with jinja2, set up as transformers sets it up.

usage: make_chat_vectors.py OUTPUT_FILE

Needs `pip install jinja2==3.1.6`. Writes one JSON object a line: `template`, `variables`, and either
`text`, what jinja2 renders, or `fails`: true. The templates were written for the purpose, in the
manner of those that models publish. The file in tests/reference/data comes from it.
"""

# ruff: noqa: E501 - templates stand as they are

import json
import sys
from pathlib import Path

from chat_jinja import INPUTS, environment, rendered

CHAT = [
    # one line a turn
    "{% for m in messages %}{{ m.role|capitalize }}: {{ m['content'] | trim }}{% if not loop.last %}"
    "{{ '\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
    # turns between marks
    "{%- for message in messages %}\n    {{- '<|im_start|>' + message.role + '\\n' }}\n"
    "    {%- if message.content is string %}\n        {{- message.content }}\n    {%- else %}\n"
    "        {%- for part in message.content or [] %}\n            {%- if part.type == 'text' %}\n"
    "                {{- part.text }}\n            {%- else %}\n                {{- '[' ~ part.type ~ ']' }}"
    "\n            {%- endif %}\n        {%- endfor %}\n    {%- endif %}\n    {{- '<|im_end|>\\n' }}\n"
    "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n",
    # system first, then pairs that must alternate
    "{% if messages and messages[0]['role'] == 'system' %}{% set system = messages[0].content %}"
    "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "{{ bos_token }}{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% if m.role == 'user' %}"
    "{{ '[INST] ' ~ (('<<SYS>>' ~ system ~ '<</SYS>>') if loop.first and system else '') ~ m.content ~"
    " ' [/INST]' }}{% else %}{{ ' ' + m.content|trim + ' ' + eos_token }}{% endif %}{% endfor %}",
    # thoughts are cut off, the last user's turn is found
    "{%- set ns = namespace(last=-1, seen=false) %}\n{%- for m in messages[::-1] %}\n"
    "{%- if m.role == 'user' and not ns.seen %}\n{%- set ns.last = messages|length - 1 - loop.index0 %}\n"
    "{%- set ns.seen = true %}\n{%- endif %}\n{%- endfor %}\n{%- for m in messages %}\n"
    "{%- set content = m.content if m.content is string else '' %}\n"
    "{%- if '</think>' in content %}\n{%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n"
    "{%- endif %}\n{{ loop.index0 }}{{ '*' if loop.index0 == ns.last }} {{ m.role }}: {{ content }}\n"
    "{%- endfor %}",
    # tools as JSON
    "{% if tools %}{{ 'Tools:\\n' }}{% for t in tools %}{{ t | tojson }}{{ '\\n' }}"
    "{{ t.function.parameters | tojson(indent=2) }}{{ '\\n' }}{% endfor %}{% endif %}"
    "{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n'
    "</tool_call>{% endfor %}{% elif m.role == 'tool' %}<tool_response id={{ m.tool_call_id }}>"
    "{{ m.content }}</tool_response>{% else %}{{ m.content }}{% endif %}\n{% endfor %}",
    # macros
    "{% macro turn(role, text='', end='<|eot|>') -%}\n<|{{ role }}|>{{ text | trim }}{{ end }}\n"
    "{%- endmacro %}\n{% for m in messages %}{{ turn(m.role, m.content | string) }}{% endfor %}"
    "{% if add_generation_prompt %}{{ turn('assistant', end='') }}{% endif %}",
    # generation marks, loop controls
    "{% for m in messages %}{% if loop.index > 3 %}{% break %}{% endif %}{% if m.role == 'system' %}"
    "{% continue %}{% endif %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{% endgeneration %}{% else %}({{ m.content }}){% endif %}{% endfor %}",
    # dates and defaults
    "{{ date_string | default('26 Jul 2024') }}{% if not date_string is defined %}!{% endif %}"
    "{% set custom = documents if documents is defined else none %}{{ custom is none }}"
    "{{ (tools or []) | length }} {{ messages | map(attribute='role') | unique | join(',') }}",
    # filters over messages
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }};"
    "{{ messages | rejectattr('role', 'in', ['user', 'tool']) | map(attribute='role') | list }};"
    "{% for role, group in messages | groupby('role') %}{{ role }}={{ group | length }} {% endfor %}"
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }} {% else %}none"
    "{% endfor %}",
    # whitespace of every kind
    "  {%- if true %}\n  a  \n  {%+ if true %}b{% endif +%}\nc\n  {# note #}\n  d {# x -#}   e\n"
    "{%- endif -%}\n\n f {{- ' g ' -}}  h\n  {% raw %}{{ raw }} {% x %}{% endraw %}  i\n",
    # what an older template of pairs does
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
    "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + (message['content'] | string)"
    " | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant"
    "<|end_header_id|>\\n\\n' }}{% else %}{{ eos_token }}{% endif %}",
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}{{ messages[-1].role }}",
    "{% call(x) wrap('b') %}[{{ x }}]{% endcall %}{% macro wrap(tag) %}<{{ tag }}>{{ caller(tag) }}"
    "</{{ tag }}>{% endmacro %}{% call(x) wrap('i') %}[{{ x }}]{% endcall %}",
    "{% macro wrap(tag) %}<{{ tag }}>{{ caller(tag|upper) }}{% endmacro %}"
    "{% call(x) wrap('i') %}[{{ x }}{{ messages|length }}]{% endcall %}",
    "{% filter upper %}a{{ messages|length }}b{% endfilter %}{% set x %}in {{ 1 }}{% endset %}{{ x|title }}",
    "{% set x | upper | trim %}  in {{ 1 }} {% endset %}[{{ x }}]",
]

# Expressions, each shown as "{{ ... }}" with the third input.
EXPRESSIONS = """\
1 + 2 * 3 - 4 // 3 % 2 ** 3
7 / 2
-7 // 2
-7 % 3
7 % -3
7.5 // 2
2 ** 10
2 ** -1
-2 ** 2
1_000 + 0
1e3
1.5e-7
1e16
123456789012.0
0.1 + 0.2
1 / 3
10 / 5
true + 1
'a' ~ 1 ~ none ~ true ~ 1.0
'a' 'b' "c"
'ab' * 3
3 * [1]
[1, 'a', none, true, 1.5, (1,), (1, 2), {'a': [1]}]
{'a': 1, 'b': {'c': "it's"}}
"say \\"it's\\""
['it\\'s', 'q"q', 'b\\\\n\\n\\t']
(1, 2) == (1, 2)
[1] == [1.0]
{'a': 1} == {'a': 1.0}
'a' < 'b' and 1 < 2 <= 2 < 3
1 < 3 < 2
1 == 1.0
'1' == 1
none == false
not none
'a' in 'cat'
'name' in {'name': 1}
3 in (1, 2, 3)
1 if false
1 if false else 2 if false else 3
'' or 'x'
0 and 1
[] or none
messages[0].role
messages[-1]['content']
messages[9]
messages[0].nothing
messages[0].nothing is defined
messages[0]['role'][0]
nothing
nothing is undefined
nothing.more
nothing + 1
nothing | default('d')
none | default('d')
none | default('d', true)
'' | d('d', boolean=true)
'Größe'[2]
'Größe'[1:4]
'abcdef'[::-1]
'abcdef'[-3:]
'abcdef'[:-3]
'abcdef'[4:1:-1]
'abcdef'[::2]
[1, 2, 3, 4][1:3]
[1, 2, 3][::-2]
(1, 2, 3)[1:]
'abc'[5:]
'  x y '.strip()
'xxaxx'.strip('x')
'xyaxy'.lstrip('xy')
'  a  b c '.split()
'  a  b c '.split(none, 1)
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a,b,,c'.rsplit(',', 1)
'a\\nb\\r\\nc\\n'.splitlines()
'a\\nb\\n'.splitlines(true)
'hello'.startswith('he')
'hello'.startswith(('x', 'h'))
'hello'.endswith('lo')
'hello'.removeprefix('he')
'hello'.replace('l', 'L')
'hello'.replace('l', 'L', 1)
'aaa'.replace('', '-')
'hello'.find('l')
'hello'.rfind('l')
'größe'.find('e')
'hello'.find('z')
'hello'.count('l')
','.join(['a', 'b'])
'hello world'.title()
"they're bill's".title()
'hELLO'.capitalize()
'Größe ǆ'.upper()
'ÄÖ'.lower()
'123'.isdigit()
'abc'.isalpha()
'ab1'.isalnum()
' \\t'.isspace()
'ABC'.isupper()
'Abc'.islower()
{'a': 1}.items() | list
{'a': 1, 'b': 2} | items | list
{'b': 1, 'a': 2} | dictsort
{'b': 1, 'a': 2} | dictsort(by='value', reverse=true)
{'a': 1}.keys() | list
{'a': 1}.values() | list
{'a': 1}.get('a')
{'a': 1}.get('b')
{'a': 1}.get('b', 3)
{'items': 1}['items']
{'a': 1}.b
[1, 2].append(3)
{'a': 1}.update({'b': 2})
[3, 1, 2] | sort
['b', 'A', 'c'] | sort
['b', 'A', 'c'] | sort(case_sensitive=true)
[3, 1, 2] | sort(reverse=true)
[{'a': 2}, {'a': 1}] | sort(attribute='a')
[1, 'a'] | sort
['a', 'B', 'b', 'A'] | unique | list
[1, 2, 3] | sum
[{'a': 1}, {'a': 2}] | sum(attribute='a')
[[1], [2]] | sum(start=[])
[3, 1, 2] | max
[3, 1, 2] | min
['b', 'A'] | min
[] | max
[1, 2, 3] | first
'abc' | last
[] | first
'Größe' | length
{'a': 1} | count
none | length
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3] | batch(2, 0) | list
[1, 2, 3] | reverse | list
'abc' | reverse
'abc' | list
['a', 1] | join
['a', 1] | join(', ')
[{'n': 'x'}, {'n': 'y'}] | join('+', attribute='n')
['a', 'b'] | map('upper') | list
[{'a': 1}, {}] | map(attribute='a', default=0) | list
[{'a': {'b': 1}}] | map(attribute='a.b') | list
[0, 1, '', 'x'] | select | list
[1, 2, 3] | select('odd') | list
[1, 2, 3] | reject('odd') | list
[1, 2, 3] | select('>', 1) | list
[{'a': 1}, {'a': 0}] | selectattr('a') | list
'x y z' | wordcount
'a\\nb\\n\\nc' | indent
'a\\nb\\n\\nc' | indent(2, true)
'a\\nb\\n\\nc' | indent(width=2, blank=true)
'x' | center(6)
'xy' | center(5)
'<a href="x">&\\'' | e
'%s is %d' | format('x', 3)
'%s-%s' % ('a', 'b')
-3 | abs
'42' | int
'4x' | int
'4.7' | int
'x' | int(7)
4.9 | int
'1.5' | float
'x' | float
3 | float
2.5 | round
2.567 | round(2)
2.1 | round(0, 'ceil')
2.9 | round(method='floor')
1234567 | round(-2)
[1, {'a': "é\\n\\"", 'b': none, 'c': true, 'd': 1.0}] | tojson
[] | tojson(indent=2)
{'b': [1, {}], 'a': {}} | tojson(indent=2)
'\\u00e9\\x7f\\x01/<>&' | tojson
range(3) | list
range(1, 6, 2) | list
range(3, 0, -1) | list
range(200000) | list
dict(a=1, b=2)
namespace(a=1).a
'a' is string
1 is number
true is number
1 is integer
true is integer
1.0 is float
true is boolean
[] is iterable
'a' is sequence
{} is mapping
[] is mapping
none is none
3 is odd
4 is not odd
4 is divisibleby 2
4 is divisibleby(3)
'a' is in ['a']
1 is eq 1
1 is ne(2)
2 is gt 1
'abc' is lower
'ABC' is upper
range is callable
1 is sameas 1
true is true
1 is true
not 1 is odd
1 is odd and 2 is even
messages | length > 3
messages is iterable and messages is not string
(messages | last).content | upper
messages[1].tool_calls[0].function.arguments | tojson
tools[0].function.parameters.properties | items | map('first') | join('/')
tools | tojson
1 | nofilter
1 is notest
'a' + 1
1 + none
1 / 0
1 % 0
[1][0](2)
raise_exception('no ' ~ 1)
{'a': 1} ~ ''
loop
"tab\\tnl\\\\n"
'\\x41\\u00df\\U0001F426'
{1: 'a', 'b': 2}[1]
[[1, 2], [3]][0][1]
'abc'.0
[5, 6].1
('a',)
()
[(1, 'a'), (2, 'b')]
- 3
+ 3
--3
not not 1
1 ~ 2 * 3
'a' ~ 'b' | upper
('a' ~ 'b') | upper
-3 | abs
1 + 2 | float
[1, 2,]
{'a': 1,}
"a" if messages else "b"
messages[0].content.split(' ')[-1].rstrip('?') ~ '!'
'\\101\\0\\18\\777\\12x'
'\\x4'
'\\u12'
'\\ud83d\\udc26'
'\\U00110000'
'\\q\\é\\海\\🐦'
"\\N{BULLET}x" is string and nothing.more
0x1F + 0o17 + 0b1_1 + 0xfF
0b2
'a-b-c'.partition('-')
'abc'.partition('-')
'a-b-c'.rpartition('-')
'abc'.rpartition('-')
'hello'.index('l')
'hello'.rindex('l')
'hello'.index('z')
'42'.zfill(5)
'-42'.zfill(5)
'ab'.ljust(4) ~ '|'
'ab'.rjust(4, '.')
'ab'.rjust(1, '.')
'ab'.center(5, '*')
'abc'.center(6, '*')
'ab'.ljust(4, 'xy')
'Hello Größe'.swapcase()
'12'.isdecimal()
'1a'.isdecimal()
'é'.isascii()
''.isascii()
'{}-{}'.format(1, 'b')
'{1}{0}{{}}'.format('a', 'b')
'{a} {b}'.format(a=1, b=[1])
'{}'.format()
'{'.format(1)
"it's a-b (c d) [e <f" | title
5 is lower
['a'] is lower
1.5 is odd
3.0 is odd
[[1], [1]] | unique | list
nothing[1:]
'a' | format(1)
'a%s' | format(1, 2)
'a' % 5
'a' % [5]
'%s' % [1, 2]
'%s' % (1, 2)
'a' % {}
5 | indent
[1] | indent
cycler('a', 'b').next()
cycler()
joiner('+')() ~ 'x'
'a-b_c'.split('-')[1].split('_') | last
""".splitlines()

STATEMENTS = [
    "{% for i in range(3) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}"
    "{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.cycle('a', 'b') }}"
    "{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
    "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for a, b in {'x': 1, 'y': 2}.items() %}{{ a }}={{ b }},{% endfor %}",
    "{% for a in 'héy' %}{{ a }}.{% endfor %}",
    "{% for i in [{'n': 1, 'c': [{'n': 2, 'c': []}, {'n': 3, 'c': [{'n': 4}]}]}] recursive %}"
    "{{ loop.depth }}{{ loop.depth0 }}:{{ i.n }}{{ loop.last }}{% if i.c %}({{ loop(i.c) }}){% endif %} {% endfor %}",
    "{% for i in [[1, [2]], 3] if i is iterable recursive %}<{% if i is sequence %}{{ loop(i) }}{% endif %}>"
    "{% else %}none{% endfor %}",
    "{% for i in [1, [2, [3]], 'x'] if (i is iterable) recursive %}<{{ loop(i) if i is not string else i }}>"
    "{% else %}none{% endfor %}",
    "{% for i in [1] %}{{ loop([2]) }}{% endfor %}",
    "{% for i in [1, 2] recursive %}{{ x }}{% set x = i %}{% if i == 1 %}[{{ loop([5, 6]) }}]{% endif %}{{ x }};{% endfor %}",
    "{% for (a, (b, c)) in [(1, (2, 3)), (4, 'xy')] %}{{ a }}{{ b }}{{ c }};{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }};{% endfor %}",
    "{% for a, in [(1,), (2,)] %}{{ a }};{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, (b, c) in [(1, 2)] %}{{ a }}{% endfor %}",
    "{% set (a, (b, c)) = 1, (2, 3) %}{{ c }}{{ b }}{{ a }}",
    "{% set a, = [7] %}{{ a }}",
    "{% set c = cycler('odd', 'even') %}{% for i in range(3) %}{{ c.current }}{{ c.next() }} {% endfor %}"
    "{% set _ = c.reset() %}{{ c.current }}",
    "{% set c = cycler(1, 2) %}{% set c.current = 5 %}{{ c.current }}",
    "{% set pipe = joiner(' | ') %}{% for i in range(3) %}{{ pipe() }}{{ i }}{% endfor %}",
    "{% set pipe = joiner() %}{{ pipe() }}a{{ pipe() }}b",
    "{% with a = 1, b = a %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a }}{{ c }}",
    "{% set a = 7 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% with %}{% set c = 3 %}{{ c }}{% endwith %}{{ c }}",
    "{% with a %}{% endwith %}",
    "{% for i in [1, 2] %}{% set outer = loop %}{% for j in [3] %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}",
    "{% for i in [1] %}{{ loop is mapping }}{{ loop is callable }}{{ loop['index'] }}{{ loop.nothing is defined }}{% endfor %}",
    "{% macro m(l) %}{{ l.index }}{% endmacro %}{% for i in [4, 5] %}{{ m(loop) }}{% endfor %}",
    "{% for a in nothing %}x{% else %}empty{% endfor %}",
    "{% for a in none %}x{% endfor %}",
    "{% for a in 5 %}x{% endfor %}",
    "{% set x = 1 %}{% for i in range(2) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for i in range(2) %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}",
    "{% if true %}{% set y = 2 %}{% endif %}{{ y }}",
    "{% set a, b = 1, 2 %}{{ b }}{{ a }}",
    "{% set a, b = [1] %}{{ a }}",
    "{% for i in range(2) %}{% for j in range(2) %}{{ loop.depth }}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "{% for i in range(5) if i is odd %}{{ i }}{{ loop.last }}{% endfor %}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, b=3) }}{{ m() }}{% set c = 9 %}{{ m(1) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% if 0 %}a{% elif '' %}b{% elif 1 %}c{% else %}d{% endif %}",
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n\n",
    "a  {%- if true -%}  b  {%- endif -%}  c",
    "a {{- 1 -}} b",
    "{# comment #}\nx{# a\nb #} y\n",
    "{{ '{{' }}{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}",
    "x\r\ny\r{{ 1 }}\r\n",
    "{{ 1",
    "{% if %}",
    "{% if true %}",
    "{% endif %}",
    "{% for x in %}{% endfor %}",
    "{{ (1 }}",
    "{{ 1 + }}",
    "{{ 'abc }}",
    "{# x",
    "{% unknown %}",
    "{{ a.b.c }}",
    "{% set x.y = 1 %}",
    "{% break %}",
    "{{ foo() }}",
    "{{ messages[0].role.nothing.more }}",
    "{% raw %}  {{ a }} {% endraw %}b",
    "{%- raw -%}  {{ a }}  {%- endraw -%}  b",
    "plain text\n",
    "",
    "\n",
    "{{ '' }}\n\n",
]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    made = environment()
    cases = [(template, variables) for template in CHAT for variables in INPUTS]
    cases += [("{{ " + expression + " }}", INPUTS[2]) for expression in EXPRESSIONS]
    cases += [(template, INPUTS[1]) for template in STATEMENTS]
    with Path(sys.argv[1]).open("w", encoding="utf-8") as file:
        for template, variables in cases:
            case = {"template": template, "variables": variables}
            case |= rendered(made, template, variables)
            file.write(json.dumps(case, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
