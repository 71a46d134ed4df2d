"""Function words that say nothing about a subject: accents folded, elided words alone."""

from __future__ import annotations

from typing import Final

from backend.core.types import Language

_FRENCH: Final = """
a afin ai aie ainsi alors apres as au aucun aucune auquel aussi autre autres aux avait avant avec avez
avoir avons bonjour bonsoir c ca car ce ceci cela celle celles celui cependant ces cet cette ceux chaque
chez ci combien comme comment cordialement d dans de depuis des donc dont du duquel elle elles en encore
entre est et etaient etait etant ete etes etre eux faire fait faut il ils j je jusqu jusque l la laquelle
le lequel les lesquelles lesquels leur leurs lors lorsqu lorsque lui m ma madame mais me meme memes merci
mes moi moins mon monsieur n ne ni nos notre nous on ont or ou par parce pas pendant peu peut peuvent
peux plus plusieurs pour pourquoi pouvez pouvons puis puisqu puisque puisse qu quand que quel quelle
quelles quels qui quoi s sa sans se sera serait seront ses si soi soit sommes son sont sous suis sur t ta
te tes toi ton tous tout toute toutes tres tu un une vers vos votre vous y
"""

_ENGLISH: Final = """
a about after all also am an and any are as at be because been before being between both but by can could
did do does doing don down during each few for from further had has have having he hello her here hers hi
him his how i if in into is it its itself just ll m me more most my myself no nor not now of off on once
only or other our ours out over own please re s same she should so some such t than thanks that the their
theirs them then there these they this those through to too under until up ve very was we were what when
where which while who whom whose why will with would you your yours
"""

STOP_WORDS: Final[dict[Language, tuple[str, ...]]] = {
    "fr": tuple(_FRENCH.split()),
    "en": tuple(_ENGLISH.split()),
}
