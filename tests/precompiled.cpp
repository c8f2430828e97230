// The owner of the precompiled headers; it does nothing.
int main() {}
