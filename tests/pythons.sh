# Sourced: prints the Python of a version that is found here, or nothing: `python=$(python_of 3.12)`.
python_of() {
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if "$candidate" --version >/dev/null 2>&1; then # a version manager's shim may be there and refuse
            echo "$candidate"
            break
        fi
    done
}
