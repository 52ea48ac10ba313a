"""Things to say: random sentences, questions and back-channels in several languages, none of them ever meant.

Only their sound and the mouth that makes it matter, so a sentence need not make sense. English has templates over some
hundreds of words; every language mixes its own common words with words made up by its phonotactics, so that all sequences
of phones occur.
"""

from __future__ import annotations

import re

import numpy as np

from avatar_forcing_ros.errors import InputError

_NOUNS = """apple arm army artist aunt autumn baby bag ball banana bank basket bath beach beam bear bed bee beef bell bench berry
bike bird birthday blanket boat body bomb bone book boot bottle bowl box boy branch bread breakfast bridge brother bubble bucket
building bump bush butter button cabbage cake camera camp candle captain car card carpet cat chair cheese cherry chicken child
chimney church cinema circle city class clock cloud coat coffee colour comb computer cook corner cottage cotton cough country
cousin cow crowd cup curtain daughter day desk dinner doctor dog dolphin door dream dress drum duck dust eagle ear earth egg
elbow engine evening eye face factory family farm farmer father feather fence fever field film finger fire fish flag floor
flower fly fog food foot forest fork fox friend frog fruit game garage garden gate ghost giant gift girl glass glove goat gold
grandma grape grass ground group guitar hair hall hammer hand harbour hat heart hedge hill history hobby holiday home honey hook
horse hospital hotel hour house husband ice idea island jacket jam job joke journey judge juice jungle key kitchen kite knee
knife ladder lady lake lamb lamp leaf leather leg lemon lesson letter library light lion lip list lunch machine map market
meadow meal measure meat memory message milk mirror mom money monkey month moon morning mother mountain mouse mouth movie museum
mushroom music nail name neck needle neighbour nephew nest newspaper night noise nose number nurse ocean office oil onion orange
oven owl page paint palm paper parcel park party path peach pear pen people pepper phone photo piano picture pie pig pillow pipe
plan plane planet plant plate pocket poem pond pony pool potato pump pupil puppy purple purse puzzle queen question rabbit radio
rain ring river road robot rock roof room rope rose rule sailor salt sand sandwich school scissors sea season shadow shampoo
shape sheep shell ship shirt shoe shop shoulder shower sister skirt sky sleeve smoke snake snow soap sock sofa soldier song soup
spoon spring square stair star station stone storm story street sugar suit summer sun sweater table tail teacher team tent
theatre thing thought thumb thunder ticket tiger time tooth towel tower town toy train treasure tree trip trouble truck turtle
umbrella uncle valley vase vegetable video village violin vision visitor voice wall watch water wave way weather week whale wheel
wife wind window wing winter wolf woman wood wool word work world worm yard year yoghurt zebra zoo""".split()
_VERBS = """add ask bake beat become begin believe bite blow boil borrow break bring build burn buy call carry catch change choose
climb close collect cook count cover cross cut dance dig draw drink drive drop eat enjoy explain fall feed feel fight fill find
finish fix fly follow forget fry give grow guess hear help hide hit hold hope hunt imagine join jump keep kick kiss knock know
laugh learn leave lend lift like listen look lose love make mean measure meet mend miss move need offer open order pack paint pass
pay pick plan play point pour prefer promise pull push put reach read remember repair ride ring run save say see sell send shake
share shout show shut sing sit skip sleep smell smile speak spell spend stand start stay steal stop study swim take talk taste
teach tell thank think throw touch travel try turn understand use visit wait wake walk want warm wash watch wear win wish wonder
work worry wrap write""".split()
_ADJECTIVES = """afraid amazing angry awful bad beautiful big bitter black blue bold brave brief bright broken brown busy calm careful
cheap clean clever cloudy cold common cool crazy curious dark deep different dirty dry early easy empty enormous expensive fair
famous fast fat favourite fine foggy foolish fresh friendly full funny gentle glad good gray great green happy hard healthy heavy
high honest huge hungry important jealous kind large lazy light little lonely long loud lovely lucky marvellous narrow nervous new
nice noisy normal odd old open orange perfect pleasant poor pretty proud pure purple quick quiet rare ready real red rich right
round rough sad safe sharp shiny short shy silent silly simple slow small smart smooth soft sour special strange strong stupid
sunny sweet tall tame thick thin thirsty tired tiny usual warm weak weird wet white whole wide wild wise wonderful wooden wrong
yellow young""".split()
_ADVERBS = """again almost already also always away badly carefully certainly clearly early easily even finally hardly here home
later maybe mostly never now often outside perhaps probably quickly quietly rarely really simply slowly somehow somewhere soon
still suddenly then there today together tomorrow too usually very well yesterday""".split()
_PLACES = "in on under behind beside near above below from with without about through over around before after by for to of".split()
_OWNERS = "the a my your his her our their this that every some another no each".split()
_PEOPLE = "I you we they people everybody nobody somebody".split()
_ASKS = "what who where when why how which".split()
_NUMBERS = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen twenty thirty forty
fifty sixty hundred thousand half""".split()
# N noun, V verb, A adjective, R adverb, P preposition, D determiner, S person, Q question word, C number, X made-up word
_STATEMENTS = """S V D N|S V D A N P D N|D N can V D N|S will R V D N P D N|D A N and D N R V|S have C A N P D N|I think S should V D N
|D N was A but D N was A|if S V D N, S will V D A N|S would like to V D N R|there is D A N P D N|S could V X and X P D N|it is R A
to V D N|my friend X V D A N|S never V P D N because D N is A|well, S did not V D N|S V, V and V R|let us V D N P C N
|please V D A N, and R V D N|oh, that is R A|S met X and X P X|we saw the A N P D N|D A A N will V P D N|S have to V D N, you know
|the C N and the C N|in X, S V D N|yes, S R V D N|no, S do not V D N at all""".replace("\n", "").split("|")
_QUESTIONS = """do S V D N|can you V D A N P D N|Q did S V D N|Q is D A N|would you like to V D N|have you R been P X|Q do you V P D N
|is D N A or A|Q will S V D N R|should S V D N P X|did you V X|are you R A|Q about D A N|and you, Q do you V
|could it be that D N is A""".replace("\n", "").split("|")
# Written so that a synthesizer hums: it would spell "mhm" and "hmm".
_BACKCHANNELS = {
    "en": "um hum|uh huh|yes|yeah|I see|right|okay|oh|really|wow|sure|hum|no way|of course|that's true|oh no|great|exactly|absolutely|um",
    "de": "um hum|ja|genau|aha|ach so|stimmt|okay|wirklich|oh|klar|nein|toll|na ja|hm",
    "fr": "euh|oui|d'accord|ah bon|bien sûr|je vois|vraiment|non|super|voilà|ouais",
    "es": "ajá|sí|claro|ya|vale|de verdad|no me digas|bueno|exacto|qué bien|no",
    "it": "eh|sì|certo|capisco|davvero|va bene|esatto|no|bello|ah",
    "pt": "aham|sim|claro|pois é|entendi|verdade|está bem|não|que bom",
    "nl": "um hum|ja|precies|oké|echt waar|natuurlijk|nee|mooi|ach",
    "pl": "aha|tak|jasne|rozumiem|naprawdę|dobrze|nie|super|no tak",
    "sv": "um hum|ja|precis|okej|verkligen|just det|nej|bra|jaså",
    "ru": "угу|да|конечно|понятно|правда|хорошо|нет|ого|ясно",
    "cs": "aha|ano|jasně|rozumím|opravdu|dobře|přesně|nikdy|no jo|výborně",
    "fi": "aha|joo|niin|kyllä|ymmärrän|todella|hyvä|eikä|no niin|aivan",
    "ca": "ahà|sí|clar|ja ho veig|de debò|molt bé|exacte|no|és veritat|que bonic",
}
_WORDS = {
    "de": """und der die das ein eine nicht ich du wir sie ist war haben werden mit auf für von über unter heute morgen immer wieder
schön groß klein müde fröhlich Baum Blume Buch Brücke Apfel Pferd Pfanne Katze Hund Haus Straße Schule Sommer Mutter Vater Bruder
Mädchen Fenster Garten Wasser Kuchen Vogel Wolke Zeitung Zug Kirche Milch Öl Übung Löffel gehen kommen sehen sprechen bauen pumpen
schwimmen wünschen hören""",
    "fr": """et le la les un une je tu nous vous il elle est pas avec pour dans sur bonjour maison jardin fleur arbre chien chat pain
beurre fromage eau feu nuit jour matin soleil lune rue voiture livre peur bleu vert rouge blanc grand petit beau bon manger boire
parler ouvrir prendre vouloir pouvoir toujours souvent aujourd'hui demain montagne musique boulanger homme femme enfant pomme""",
    "es": """y el la los un una yo tú nosotros es no con por para en sobre casa jardín flor árbol perro gato pan queso agua fuego noche
día mañana sol luna calle coche libro miedo azul verde rojo blanco grande pequeño bueno comer beber hablar abrir querer poder
siempre hoy hombre mujer niño manzana huevo música llave lluvia guitarra pueblo amigo trabajo""",
    "it": """e il la gli un una io tu noi è non con per in su casa giardino fiore albero cane gatto pane burro formaggio acqua fuoco
notte giorno mattina sole luna strada macchina libro paura azzurro verde rosso bianco grande piccolo buono mangiare bere parlare
aprire volere potere sempre oggi uomo donna bambino mela uovo musica chiave pioggia amico lavoro famiglia""",
    "pt": """e o a os um uma eu tu nós é não com por para em sobre casa jardim flor árvore cão gato pão queijo água fogo noite dia
manhã sol lua rua carro livro medo azul verde vermelho branco grande pequeno bom comer beber falar abrir querer poder sempre hoje
homem mulher menino maçã ovo música chave chuva amigo trabalho coração""",
    "nl": """en de het een ik jij wij is niet met voor in op huis tuin bloem boom hond kat brood boter kaas water vuur nacht dag morgen
zon maan straat auto boek bang blauw groen rood wit groot klein goed eten drinken spreken openen willen kunnen altijd vandaag man
vrouw kind appel ei muziek sleutel regen vriend werk vogel schip uil""",
    "pl": """i to ten ta jeden ja ty my jest nie z dla w na dom ogród kwiat drzewo pies kot chleb masło ser woda ogień noc dzień rano
słońce księżyc ulica samochód książka strach niebieski zielony czerwony biały duży mały dobry jeść pić mówić otwierać chcieć móc
zawsze dzisiaj mężczyzna kobieta dziecko jabłko jajko muzyka klucz deszcz przyjaciel praca""",
    "sv": """och den det en ett jag du vi är inte med för i på hus trädgård blomma träd hund katt bröd smör ost vatten eld natt dag
morgon sol måne gata bil bok rädd blå grön röd vit stor liten god äta dricka tala öppna vilja kunna alltid idag man kvinna barn
äpple ägg musik nyckel regn vän arbete sjö skjorta""",
    "ru": """и это тот один я ты мы не с для в на дом сад цветок дерево собака кошка хлеб масло сыр вода огонь ночь день утро солнце
луна улица машина книга страх синий зелёный красный белый большой маленький хороший есть пить говорить открывать хотеть мочь
всегда сегодня мужчина женщина ребёнок яблоко яйцо музыка ключ дождь друг работа""",
    "cs": """a to ten ta jeden já ty my je není nikdy pro v na dům zahrada květina strom pes kočka chléb máslo sýr voda oheň noc
den ráno slunce měsíc ulice auto kniha strach modrý zelený červený bílý velký malý dobrý jíst pít mluvit otevřít chtít moci
vždycky dnes muž žena dítě jablko vejce hudba klíč déšť přítel práce babička mouka ryba řeka švestka""",
    "fi": """ja se tämä yksi minä sinä me on emme koskaan kanssa varten talo puutarha kukka puu koira kissa leipä voi juusto vesi
tuli yö päivä aamu aurinko kuu katu auto kirja pelko sininen vihreä punainen valkoinen suuri pieni hyvä syödä juoda puhua avata
haluta voida aina tänään mies nainen lapsi omena muna musiikki avain sade ystävä työ lumi pöytä mummo tyttö kauppa""",
    "ca": """i el la els un una jo tu nosaltres és no mai amb per en sobre casa jardí flor arbre gos gat pa mantega formatge aigua
foc nit dia matí sol lluna carrer cotxe llibre por blau verd vermell blanc gran petit bo menjar beure parlar obrir voler poder
sempre avui home dona nen poma ou música clau pluja amic feina muntanya vaixell abella peix""",
}
# What made-up words are built of: (onsets, vowels, codas), "_" for none. Repeated ones are likelier.
_SYLLABLES = {
    "en": ("b bl br d dr f fl fr g gl gr h j k kl kr l m m n p p pl pr r s sh sk sl sm sn sp st str sw t tr tw th ch v w w wh y z _",
           "a e i o u ee oo ea ay ow oy ie aw er ar or oa ou", "_ _ _ b d f g k l m m n nd ng nt p p s sh st t th v x z rd lm mp"),
    "de": ("b bl br d dr f fl fr g gl gr h j k kl kn kr l m n p pf pl r s sch schl schm schw sp st t tr w w z _",
           "a e i o u ä ö ü au ei eu ie", "_ _ _ b ch ck f g l m n nd ng p r s sch st t tz rm mpf"),
    "fr": ("b bl br ch d dr f fl fr g gr j l m n p pl pr qu r s t tr v vr _", "a e é i o u ou eu au oi an on in ui ai", "_ _ _ _ r l s t be me pe"),
    "es": ("b br c ch d f fr g gr j l ll m n ñ p pl pr qu r s t tr v _", "a e i o u ie ue ua", "_ _ _ _ n r s l m"),
    "it": ("b br c ch d f fr g gn l m n p pl pr qu r s sc sp st t tr v z _", "a e i o u ia io uo", "_ _ _ _ n r l m"),
    "pt": ("b br c ch d f fr g l lh m n nh p pr r s t tr v z _", "a e i o u ão ei ou ã", "_ _ _ _ m r s l"),
    "nl": ("b bl br d dr f g gr h j k kl kr l m n p pr r s sch sl sp st t v w z _", "a e i o u aa ee oo oe eu ui ij ou", "_ _ _ f k l m n p r s t cht nd"),
    "pl": ("b br ch cz d dr f g gr h j k kr l ł m n p pr r rz s sz ś t tr w z ż ź ć _", "a e i o u y ą ę ó", "_ _ _ _ k l m n p r s t sz cz ść"),
    "sv": ("b bl br d dr f fl g gr h j k kl kr l m n p pr r s sj sk sl sp st t tj tr v _", "a e i o u y å ä ö", "_ _ _ g k l m n p r s t nd ng"),
    "ru": ("б бр в г гр д др ж з к кр л м н п пр р с ст т тр ф х ц ч ш щ _", "а е и о у ы э ю я ё", "_ _ _ _ в к л м н п р с т ш ть"),
    "cs": ("b bl br c č d dr ď f g h ch j k kr kv l m mn n ň p pl pr r ř s sk st š št t tr ť v vl z ž _", "a e i o u á é í ů ý ě ou", "_ _ _ _ c k l m n p r s š t v ž st"),
    "fi": ("h j k l m n p r s t v h k l m p s t v d f b _", "a e i o u y ä ö aa ee ii oo uu yy ää öö ai ei oi ui au ou äi öy ie uo yö", "_ _ _ n s l r t p k m"),
    "ca": ("b bl br c d dr f fl fr g gr j l ll m n ny p pl pr r s t tr v x _", "a e i o u à é è í ò ó ú ia ai ei ou", "_ _ _ _ l m n r s t ll ny ix"),
}  # fmt: skip
LANGUAGES: tuple[str, ...] = tuple(_SYLLABLES)
_MADE_UP = 0.35  # of the words of a sentence in another language than English


def random_sentence(rng: np.random.Generator, language: str = "en") -> str:
    """A statement of 2 to about 14 words. Raises InputError on a language that is not in LANGUAGES."""
    _check(language)
    if language == "en" and rng.random() < 0.8:
        return _fill(rng, _pick(rng, _STATEMENTS)) + "."
    return _words(rng, language, int(rng.integers(2, 11))) + "."


def random_question(rng: np.random.Generator, language: str = "en") -> str:
    """A question. Raises InputError on a language that is not in LANGUAGES."""
    _check(language)
    if language == "en":
        return _fill(rng, _pick(rng, _QUESTIONS)) + "?"
    return _words(rng, language, int(rng.integers(2, 8))) + "?"


def backchannel(rng: np.random.Generator, language: str = "en") -> str:
    """What a listener says while the other one goes on speaking. Raises InputError on a language not in LANGUAGES."""
    _check(language)
    return _pick(rng, _BACKCHANNELS[language].split("|"))


def _check(language: str) -> None:
    if language not in _SYLLABLES:
        raise InputError(f"language '{language}' is unknown; use one of {', '.join(LANGUAGES)}")


def _pick(rng: np.random.Generator, words) -> str:
    return words[int(rng.integers(len(words)))]


def _made_up(rng: np.random.Generator, language: str) -> str:
    onsets, vowels, codas = (part.split() for part in _SYLLABLES[language])
    count = int(rng.integers(1, 4))
    return "".join(_pick(rng, onsets) + _pick(rng, vowels) + _pick(rng, codas) for _ in range(count)).replace("_", "")


def _words(rng: np.random.Generator, language: str, count: int) -> str:
    known = _NOUNS + _VERBS + _ADJECTIVES + _ADVERBS if language == "en" else _WORDS[language].split()
    made_up = 0.6 if language == "en" else _MADE_UP
    words = [_made_up(rng, language) if rng.random() < made_up else _pick(rng, known) for _ in range(count)]
    if count > 4 and rng.random() < 0.4:
        words[count // 2] += ","
    return " ".join(words)


def _fill(rng: np.random.Generator, template: str) -> str:
    lists = {
        "N": _NOUNS,
        "V": _VERBS,
        "A": _ADJECTIVES,
        "R": _ADVERBS,
        "P": _PLACES,
        "D": _OWNERS,
        "S": _PEOPLE,
        "Q": _ASKS,
        "C": _NUMBERS,
    }

    def word(match: re.Match) -> str:
        kind = match.group()
        return _made_up(rng, "en") if kind == "X" else _pick(rng, lists[kind])

    return re.sub(r"\b[NVARPDSQCX]\b", word, template)
