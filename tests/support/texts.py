"""Answers of every kind that a reader may wait for."""

TEXTS = {
    "prose": (
        "The library opens at nine [1] and closes at six [2]. On Sundays it is closed, but the read"
        "ing room may be used by those who hold a card of the library [3]. Ask at the counter for a"
        " key."
    ),
    "French": (
        "La bibliothèque ouvre à neuf heures [1] ; l'accès est gratuit. On n'emprunte qu'avec une c"
        "arte, valable « un an » à partir de l'inscription [2]."
    ),
    "German nouns": (
        "Öffnungszeiten: Montag Dienstag Mittwoch Neun Uhr Achtzehn Uhr, Samstag Zehn Uhr Bibliothe"
        "ksausweis Donaudampfschifffahrtsgesellschaft Jahresgebühr Zwanzig Euro [1]."
    ),
    "capitals": (
        "THE LIBRARY OPENS AT NINE [1] AND CLOSES AT SIX [2]. BRING YOUR CARD, YOUR BOOKS AND YOUR KEY."
    ),
    "figures": (
        "12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57, 60, 63, 66, 69, 72, 75, 78, 81"
    ),
    "a column": "\n".join(str(n * n) for n in range(7, 60)),
    "a table": (
        "| Day | Opens | Closes |\n|-----|-------|--------|\n| Mon | 9:00 | 18:00 |\n| Tue | 9:00 |"
        " 18:00 |\n| Wed | 9:00 | 20:00 |\n| Thu | 9:00 | 18:00 |\n| Fri | 9:00 | 18:00 |\n\nSee [1"
        "]."
    ),
    "code": (
        "```python\ndef total(items):\n    s = 0\n    for i in items:\n        s += i[0]\n    retur"
        "n s\n\n\nif __name__ == '__main__':\n    print(total([(1,), (2,)]))\n```\nIt adds them up "
        "[1]."
    ),
    "minified": (
        "function(a,b){return a.x>b.x?1:-1};var q=[1,2,3];q.map(function(i){return i*i}).sort(f);if(q<r){t()}"
    ),
    "markup": (
        'Write <div class="a"><|im_start|>x</div> and [INST] then <b>bold</b>, and after it </thi'
        "nk> [1]. Then close <ul><li>one</li><li>two</li></ul> and [/INST] as the manual says."
    ),
    "a list": (
        "You need:\n\n- A card\n- A Key\n- Ten Euros\n\n1. Come in\n2. Sit down\n3. Read\n\n\n\nTha"
        "t is all [1]."
    ),
    "empty lines": (
        "One.\n\n\n\nTwo.\n\n\n   \nThree.\n\n\n\n\nFour.\n\n \n\nFive, and no more than that [1].\n\n"
    ),
    "the same again": "ha " * 60,
    "the same after all": "It goes like this: " + "Ha Ha Ha, " * 30,
    "Chinese": (
        "图书馆早上九点开门[1]，晚上六点关门[2]。星期天不开放，但持有借书证的读者可以使用阅览室[3]"
        "。请在服务台领取钥匙，并在离开时归还。借书期限为三个星期，可以续借一次。"
    ),
    "Japanese": (
        "図書館は午前九時に開館し[1]、午後六時に閉館します[2]。日曜日は休館ですが、カードをお持ちの"
        "方は閲覧室をご利用いただけます[3]。カウンターでカギをお受け取りください。"
    ),
    "Korean": (
        "도서관은 오전 아홉 시에 문을 열고 [1] 오후 여섯 시에 닫습니다 [2]. 일요일에는 휴관이지만 "
        "열람실은 이용할 수 있습니다 [3]."
    ),
    "Arabic": (
        "تفتح المكتبة أبوابها في الساعة التاسعة صباحًا [1] وتغلق في السادسة مساءً [2]. يوم الأحد مغ"
        "لقة، لكن قاعة القراءة مفتوحة لحاملي البطاقات [3]."
    ),
    "Hebrew": (
        "הספרייה נפתחת בתשע בבוקר [1] ונסגרת בשש בערב [2]. ביום ראשון היא סגורה, אך אולם הקריאה פתו"
        "ח לבעלי כרטיס [3]."
    ),
    "Hindi": (
        "पुस्तकालय सुबह नौ बजे खुलता है [1] और शाम छह बजे बंद होता है [2]। रविवार को यह बंद रहता है"
        ", लेकिन कार्डधारक वाचनालय का उपयोग कर सकते हैं [3]।"
    ),
    "Thai": (
        "ห้องสมุดเปิดเวลาเก้าโมงเช้า[1]และปิดเวลาหกโมงเย็น[2]วันอาทิตย์ห้องสมุดปิดแต่ผู้ถือบัตรสามา"
        "รถใช้ห้องอ่านหนังสือได้[3]กรุณารับกุญแจที่เคาน์เตอร์"
    ),
    "emoji": (
        "Open 😀👩\u200d👩\u200d👧\u200d👦🇫🇷🇩🇪 daily 👍🏽 and late 🌙✨, closed 🚫 on Sundays ☀️☀️☀"
        "️; bring 📚📚📖 and 🔑 [1]. 🎉🎉🎉 👋🏿👋🏻"
    ),
    "combining": (
        "E\u0301cole fe\u0301de\u0301rale, cafe\u0301 ferme\u0301, ou\u0300 l'on e\u0301tudie; le t"
        "he\u0301 est servi a\u0300 seize heures [1] et l'entre\u0301e est libre."
    ),
    "mixed": (
        "Die 图书馆 opens at 9:00 Uhr, كل يوم, и закрывается в 18:00 [1]; ปิดวันอาทิตย์ — Σάββατο Κ"
        "ΛΕΙΣΤΟ, 12 % MwSt."
    ),
    "no blank": "QmFzZTY0" * 3 + "SGVsbG8gV29ybGQ" + "x7f9A2c4E6" * 4 + "ZmluaXNoZWQ=",
    "blanks first": "\n\n  The library opens at nine [1], and closes at six, as it always did.",
    "short": "Nine.",
    "shorter": "9",
}
