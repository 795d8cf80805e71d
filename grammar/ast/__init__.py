"""The syntax tree of a `.tts` file: what was written, before anything is known about it.

Nodes are immutable, compare by structure (spans left out) and have no behaviour. The tree is also the reader's summary
of the language: types, expressions and statements in `nodes.py`, declarations in `declarations.py`.
"""

from ttsc.grammar.ast.declarations import Choices as Choices
from ttsc.grammar.ast.declarations import Declaration as Declaration
from ttsc.grammar.ast.declarations import Expect as Expect
from ttsc.grammar.ast.declarations import Extern as Extern
from ttsc.grammar.ast.declarations import Field as Field
from ttsc.grammar.ast.declarations import Function as Function
from ttsc.grammar.ast.declarations import Limit as Limit
from ttsc.grammar.ast.declarations import Model as Model
from ttsc.grammar.ast.declarations import Module as Module
from ttsc.grammar.ast.declarations import Parameter as Parameter
from ttsc.grammar.ast.declarations import Program as Program
from ttsc.grammar.ast.declarations import Prompt as Prompt
from ttsc.grammar.ast.declarations import PromptTurn as PromptTurn
from ttsc.grammar.ast.declarations import Range as Range
from ttsc.grammar.ast.declarations import Record as Record
from ttsc.grammar.ast.declarations import Scripted as Scripted
from ttsc.grammar.ast.declarations import Store as Store
from ttsc.grammar.ast.declarations import Stub as Stub
from ttsc.grammar.ast.declarations import StubStore as StubStore
from ttsc.grammar.ast.declarations import Test as Test
from ttsc.grammar.ast.declarations import TestItem as TestItem
from ttsc.grammar.ast.declarations import Use as Use
from ttsc.grammar.ast.nodes import Abstain as Abstain
from ttsc.grammar.ast.nodes import Add as Add
from ttsc.grammar.ast.nodes import Assign as Assign
from ttsc.grammar.ast.nodes import Attribute as Attribute
from ttsc.grammar.ast.nodes import Binary as Binary
from ttsc.grammar.ast.nodes import Call as Call
from ttsc.grammar.ast.nodes import Conditional as Conditional
from ttsc.grammar.ast.nodes import Expr as Expr
from ttsc.grammar.ast.nodes import For as For
from ttsc.grammar.ast.nodes import If as If
from ttsc.grammar.ast.nodes import Index as Index
from ttsc.grammar.ast.nodes import Keyword as Keyword
from ttsc.grammar.ast.nodes import Lambda as Lambda
from ttsc.grammar.ast.nodes import Let as Let
from ttsc.grammar.ast.nodes import ListExpr as ListExpr
from ttsc.grammar.ast.nodes import ListType as ListType
from ttsc.grammar.ast.nodes import Literal as Literal
from ttsc.grammar.ast.nodes import Name as Name
from ttsc.grammar.ast.nodes import NamedType as NamedType
from ttsc.grammar.ast.nodes import OptionalType as OptionalType
from ttsc.grammar.ast.nodes import Pipe as Pipe
from ttsc.grammar.ast.nodes import Repeat as Repeat
from ttsc.grammar.ast.nodes import Return as Return
from ttsc.grammar.ast.nodes import Statement as Statement
from ttsc.grammar.ast.nodes import TypeExpr as TypeExpr
from ttsc.grammar.ast.nodes import Unary as Unary
from ttsc.grammar.ast.nodes import Var as Var
