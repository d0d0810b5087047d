"""One class a service of the API: reads the request, asks for the work to be done, writes the answer."""
