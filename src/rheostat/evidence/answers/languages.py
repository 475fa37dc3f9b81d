"""Words in several languages that ask for a number or introduce an answer, and names of months."""

from __future__ import annotations

__all__ = ["ANSWER", "HOW_MANY", "IS", "MONTHS"]

ANSWER = (
    r"answers?|réponse|respuesta|antwort|lösung|risposta|resposta|antwoord|svaret?|odpowiedź|cevap|ответ|उत्तर"
    r"|الجواب|الإجابة"
)
"""Words for "answer" in languages that put spaces between words."""
IS = r"est|es|ist|lautet|è|é|är|er|jest|هو|هي"
HOW_MANY = (
    r"wie\s*viele?n?|combien|cu[áa]nt[oa]s?|quant[oaei]s?|hoeveel|hur\s+(?:många|mycket)|hvor\s+mange|ile|kaç"
    r"|сколько|कितन[ेाी]|كم"
)
HOW_MANY_UNSPACED = "多少|几|幾|いくつ|いくら|何個|何人|何本|何枚|何時間|何円|몇|얼마"
""""How many" in scripts that put no spaces between words."""
MONTHS = (
    r"jan(?:uary|vier|uar|uari)|enero|gennaio|janeiro", r"febr?(?:uary|uar|uari)?|février|fevrier|febrero"
    r"|febbraio|fevereiro",
    r"mar(?:ch|s)|märz|maart|marzo|março", r"a[pv]ril|abril|aprile", r"mai|may|mei|mayo|maggio|maio",
    r"jun[ei]|juin|junio|giugno|junho", r"jul[yi]|juillet|julio|luglio|julho", r"august|août|aout|augustus|agosto",
    r"sept?ember|septembre|septiembre|settembre|setembro", r"o[kc]tober|octobre|octubre|ottobre|outubro",
    r"november|novembre|noviembre|novembro", r"de[zc]ember|décembre|decembre|diciembre|dicembre|dezembro",
)  # fmt: skip
"""The names of each month in English, French, German, Dutch, Spanish, Italian and Portuguese."""
ANSWER_UNSPACED = "正确答案|答案|正解|答え|答|정답|답"
