#!/bin/bash
# Runs the stepper with the arguments that BUILD gives.
exec "$@"
