"""Own word lists: opposites, words that exclude each other, and words that may take turns."""

_OPPOSITES = """
most least|more less|more fewer|first last|before after|earlier later|largest smallest
larger smaller|large small|big small|biggest smallest|bigger smaller|greatest smallest
greater lesser|highest lowest|higher lower|high low|longest shortest|longer shorter|long short
oldest youngest|older younger|oldest newest|old new|old young|best worst|better worse|good bad
early late|earliest latest|increase decrease|increased decreased|increases decreases
increasing decreasing|rise fall|rose fell|rising falling|gain lose|gained lost|win lose|won lost
begin end|began ended|beginning end|start stop|started stopped|start finish|open close
opened closed|opening closing|enter leave|entered left|join leave|joined left|arrive depart
arrived departed|buy sell|bought sold|born killed|love hate|loved hated|like dislike
liked disliked|support oppose|supported opposed|accept reject|accepted rejected|agree disagree
agreed disagreed|allow forbid|allowed forbidden|allow prevent|allowed prevented|include exclude
included excluded|import export|imported exported|attack defend|attacked defended
create destroy|created destroyed|build demolish|built demolished|strong weak|stronger weaker
strongest weakest|rich poor|fast slow|faster slower|fastest slowest|hot cold|warm cool|hard easy
hard soft|difficult easy|wide narrow|deep shallow|full empty|major minor
majority minority|maximum minimum|positive negative|public private|internal external
inner outer|upper lower|top bottom|front back|inside outside|above below
left right|male female|men women|man woman|modern ancient|popular unpopular|common rare
common uncommon|known unknown|similar different|same different|successful unsuccessful
legal illegal|native foreign|domestic foreign|local foreign|urban rural|permanent temporary
primary secondary|original final|direct indirect|formal informal|active inactive
important unimportant|necessary unnecessary|possible impossible|likely unlikely|able unable
happy unhappy|healthy sick|alive dead|true false|success failure|victory defeat|peace war
friend enemy|friends enemies|teacher student|teachers students|parent child|parents children
advantage disadvantage|advantages disadvantages|benefit drawback|benefits drawbacks
cause prevent|caused prevented|causes prevents|help hinder|helped hindered|improve worsen
improved worsened|improves worsens|protect harm|raise lower|raised lowered|expand shrink
expanded shrank|grow shrink|grew shrank|strengthen weaken|strengthened weakened|connect separate
connected separated|united divided|remain change|remained changed|keep lose|kept lost
receive give|received gave|borrow lend|send receive|sent received|always never|often rarely
usually rarely|frequently rarely|mostly rarely|everyone nobody|with without
toward away|above beneath|north south|northern southern|east west|eastern western
northernmost southernmost|easternmost westernmost|ancestor descendant|ancestors descendants
present absent|visible invisible|simple complex|natural artificial|liberal conservative
guilty innocent|winner loser|winning losing|expensive cheap|dry wet|clean dirty|safe dangerous
quiet loud|thick thin|forward backward|appeared disappeared|appear disappear|returned left
succeeded failed|succeed fail|invented copied|praised criticized|approve disapprove
approved disapproved|honored condemned|promoted demoted|hired fired|appointed dismissed
recommend warn|recommends advises|recommended rejected|enjoy dislike|enjoyed disliked
favorite hated|favorite least-favorite|main secondary|additional fewer|newest oldest
"""

_EXCLUSIVE = """
red blue green yellow black white brown purple pink gray
north south east west northeast northwest southeast southwest
spring summer autumn winter
morning afternoon evening night
monday tuesday wednesday thursday friday saturday sunday
second third fourth fifth sixth seventh eighth ninth tenth
father mother brother sister son daughter uncle aunt cousin grandfather grandmother
brothers sisters sons daughters uncles cousins
wife mother sister daughter
husband father brother son
king queen prince princess emperor
president governor mayor senator minister chancellor
novel poem play song film album opera painting
novels poems plays songs films albums operas paintings
football baseball basketball hockey tennis cricket
gold silver bronze copper iron tin
city country state village
cities countries states villages
river lake mountain island valley forest
rivers lakes mountains islands valleys forests
university school college library museum hospital
universities libraries museums hospitals
french german english spanish italian russian chinese japanese dutch portuguese greek turkish
catholic protestant orthodox jewish muslim buddhist hindu
army navy police government parliament court church
scientist writer painter musician politician lawyer actor engineer doctor
scientists writers painters musicians politicians lawyers actors engineers doctors
physics chemistry biology mathematics medicine philosophy history
miles kilometers feet meters yards inches
pounds kilograms tons ounces
dollars euros pounds yen
days weeks months years decades centuries minutes hours
dog cat horse bird fish cow
dogs cats horses birds fish cows
kitchen bathroom bedroom garage office
car train boat bicycle bus
color size weight price shape taste smell
height length width depth weight
plastic metal wood glass leather rubber
breakfast lunch dinner
born married buried crowned elected
died married retired resigned
"""

_TURNS = """
large big|begin start|began started|begins starts|buy purchase|bought purchased|help assist
helped assisted|make produce|say state|said stated|called named|build construct|built constructed
get receive|got received|show display|use utilize|used utilized|happen occur|happened occurred
biggest largest|important significant|famous well-known|area region|also too
nearly almost|film movie|films movies|people persons|kind type|kinds types|sort kind|require need
required needed|allow permit|allowed permitted|difficult hard|quickly fast|obtain get|live reside
lived resided|located situated|job occupation|wife spouse|husband spouse|children kids|choose pick
chose picked|reason cause|approximately about|end finish|ended finished
create make|created made|author writer|person individual|received got|purpose aim|main chief
"""


def _pairs(table: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for pair in table.replace("\n", "|").split("|"):
        if pair:
            one, other = pair.split()
            found.setdefault(one, []).append(other)
            found.setdefault(other, []).append(one)
    return {word: tuple(others) for word, others in found.items()}


def _circles(table: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for line in table.strip().splitlines():
        circle = line.split()
        for word in circle:
            found.setdefault(word, []).extend(each for each in circle if each != word)
    return {word: tuple(dict.fromkeys(others)) for word, others in found.items()}


OPPOSITES = _pairs(_OPPOSITES)
"""Words and their opposites, both ways."""
EXCLUSIVE = _circles(_EXCLUSIVE)
"""Words and those that cannot hold at the same time."""
TURNS = _pairs(_TURNS)
"""Words and others that say the same, so that an edit is not always a change of meaning."""

AUXILIARIES = {
    "did": "didn't", "does": "doesn't", "do": "don't", "is": "isn't", "are": "aren't",
    "was": "wasn't", "were": "weren't", "has": "hasn't", "have": "haven't", "had": "hadn't",
    "can": "can't", "could": "couldn't", "will": "won't", "would": "wouldn't",
    "should": "shouldn't", "must": "mustn't",
}  # fmt: skip
"""Auxiliary verbs and their negated short forms."""
