#!/bin/bash
# A program that brings its own malloc is left alone, with all its libraries.
source test/environments/common.sh

run_both own_malloc "$helpers/own_malloc"
