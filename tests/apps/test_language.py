"""The language of texts whose language is known."""

# ruff: noqa: RUF001

import pytest

from apps.common.language import Language, LanguageIdentifier

TRUTH = {
    "en": "The wombat lands on the moon at noon, and nobody knows why.",
    "de": "Der Wombat landet mittags auf dem Mond, und niemand weiß warum.",
    "fr": "Le wombat atterrit sur la lune à midi, et personne ne sait pourquoi.",
    "es": "El gato duerme en el sofá porque la casa está muy fría.",
    "it": "Il gatto dorme sul divano perché la casa è molto fredda.",
    "pt": "O gato dorme no sofá porque a casa está muito fria.",
    "nl": "De kat slaapt op de bank omdat het huis erg koud is.",
    "pl": "Kot śpi na kanapie, ponieważ w domu jest bardzo zimno.",
    "sv": "Katten sover på soffan eftersom det är mycket kallt i huset.",
    "cs": "Kočka spí na gauči, protože v domě je velká zima.",
    "tr": "Kedi kanepede uyuyor çünkü ev çok soğuk.",
    "ru": "Кошка спит на диване, потому что в доме очень холодно.",
    "el": "Η γάτα κοιμάται στον καναπέ γιατί το σπίτι είναι πολύ κρύο.",
    "ar": "القط ينام على الأريكة لأن البيت بارد جدا.",
    "ja": "家がとても寒いので、猫はソファで寝ています。",
    "zh": "因为房子很冷，猫在沙发上睡觉。",
}


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier()


@pytest.mark.parametrize("code", TRUTH)
def test_a_sentence_has_its_language(identifier: LanguageIdentifier, code: str) -> None:
    found = identifier.identify(TRUTH[code])
    assert found.code == code
    assert 0.5 < found.confidence <= 1


@pytest.mark.parametrize("text", ["", "12:30 — 5 €", "\n\t", "🙂"])
def test_without_letters_there_is_none(identifier: LanguageIdentifier, text: str) -> None:
    assert identifier.identify(text) == Language("und", 0.0)


def test_a_long_text_is_told_by_its_start(identifier: LanguageIdentifier) -> None:
    long = (TRUTH["en"] + " ") * 100 + TRUTH["ja"] * 1000
    assert identifier.identify(long).code == "en"
