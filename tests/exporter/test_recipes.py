"""Recipes are data: named, described, and written whole into the manifest."""

import json

import pytest

from tflite_odl.errors import ExportError
from tflite_odl.exporter import recipes


def test_every_recipe_is_found_by_its_name_and_says_what_it_is():
    for name, found in recipes.RECIPES.items():
        assert recipes.recipe(name) is found and found.name == name and found.about


def test_the_manifest_has_all_of_a_recipe():
    content = recipes.recipe("float32").to_manifest()
    assert content["recipe"] == "float32" and content["serving"] == "float32"
    assert json.loads(json.dumps(content)) == content


def test_an_unknown_recipe_is_refused_with_those_there_are():
    with pytest.raises(ExportError, match="'int7' is not one of .*float32"):
        recipes.recipe("int7")
